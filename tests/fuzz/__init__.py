"""Input that nobody should send: strategies, raw connections, and coverage-guided targets with their seeds."""
