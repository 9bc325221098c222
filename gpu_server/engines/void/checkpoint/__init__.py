"""The published weights: where they lie, whether they are whole, how they are fetched, made and loaded.

Only `loading` and `random_full` know torch; the rest reads headers and configurations.
"""
