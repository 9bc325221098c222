"""Random checkpoints in the published layout, tiny ones and full-sized ones. Production code never imports it."""
