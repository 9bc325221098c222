"""Before numpy is imported anywhere: two test processes share two cores."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
