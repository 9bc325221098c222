"""Pixels: EXR, colour, mattes, quadmask, framing, compositing. Needs the [server] extra; hosts import none of it."""
