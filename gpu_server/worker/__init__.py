"""The worker: the process that holds a device and does one job at a time, from EXR to EXR. Start reading at run.py."""
