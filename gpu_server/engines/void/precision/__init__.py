"""How the transformer is kept and multiplied: widths, tables, attention, step caches, compilation, offloading."""
