"""Before numpy or torch is imported anywhere: two test processes share two cores, and threads that wait spin."""

import os

for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
