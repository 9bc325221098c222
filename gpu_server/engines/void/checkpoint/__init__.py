"""The published weights: where they are, whether they are whole, how they are fetched, named and loaded.

Only `loading` imports torch; the other modules read headers and configurations.
"""
