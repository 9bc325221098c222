"""Pixels: EXR, colour, mattes, quadmask, framing, compositing. Needs the [server] extra; hosts do not import it."""
