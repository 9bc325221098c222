"""The propagate engine: clean plates from the shot itself, without weights. Start reading at engine.py."""
