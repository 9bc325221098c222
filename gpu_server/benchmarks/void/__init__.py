"""Benchmarks of the VOID engine: the model alone, whole jobs, warped noise, the morph check."""
