"""Precision and speed of the transformer: 8-bit weights, tables, attention, step caches, compilation, offloading."""
