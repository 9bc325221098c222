"""The engine interface, its registry, and the engines."""
