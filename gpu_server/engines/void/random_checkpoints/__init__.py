"""Checkpoints of random weights in the published layout: a tiny one for trying a job, a full-sized one for measuring.

Production code never imports this package. `void-bridge models init-tiny` and the benchmarks import it when they run;
an import-linter contract in pyproject.toml holds this.
"""
