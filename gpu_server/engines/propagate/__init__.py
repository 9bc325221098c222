"""Clean plates from the shot itself, without weights. engine.py shows the way through."""
