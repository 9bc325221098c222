"""Malformed input: strategies, raw connections, and coverage-guided targets with their seeds."""
