"""The node graph computed for real, on small images, with numpy."""
