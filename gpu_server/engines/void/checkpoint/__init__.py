"""The published weights: where they lie, whether they are whole, how they are fetched, named and loaded.

Only `loading` imports torch; the other modules read headers and configurations.
"""
