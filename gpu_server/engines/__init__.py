"""What makes clean frames: base.py is the interface, registry.py finds engines by name."""
