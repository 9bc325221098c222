"""Which device this process works on, asked of the driver itself: a worker without a model engine loads no torch."""

from __future__ import annotations

import ctypes
import os
import sys


def claim_device(worker: int) -> str:
    """Give the worker of this number one GPU, before anything opens it: "cuda:0", or "cpu" where there is none.

    A `CUDA_VISIBLE_DEVICES` of several is dealt out; with more workers than GPUs, some share one.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    places = [name.strip() for name in visible.split(",") if name.strip()] if visible is not None else None
    if places is None:
        places = [str(index) for index in range(gpu_count())]
    elif places and not gpu_count():
        places = []
    if not places:
        return "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = places[worker % len(places)]
    return "cuda:0"


def gpu_count() -> int:
    """As NVIDIA's management library counts them, which opens no device. 0 without a driver."""
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return 0
    return count.value
