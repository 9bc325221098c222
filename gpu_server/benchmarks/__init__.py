"""The benchmarks of `make bench`: ratios that are measured in one run.

Production code never imports this package. `void-bridge bench` imports it; an import-linter contract in pyproject.toml
holds this.
"""
