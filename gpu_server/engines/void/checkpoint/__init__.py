"""The published weights: where they lie, whether they are whole, how they are fetched, made and loaded.

Only `loading` knows torch; the rest reads headers and configurations.
"""
