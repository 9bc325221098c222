"""The process that holds a device: one job from EXR to EXR. run.py shows the way through."""
