"""Which device this process works on, asked of the driver itself: a worker without a model engine loads no torch."""

from __future__ import annotations

import ctypes
import os
import sys

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def claim_device(worker: int) -> str:
    """Give the worker of this number one GPU, before anything opens it: "cuda:0", or "cpu" where there is none.

    The GPUs of `CUDA_VISIBLE_DEVICES` are dealt out; with more workers than GPUs, some share one.
    """
    places = visible_gpus()
    if not places:
        return "cpu"
    os.environ[_VISIBLE] = places[worker % len(places)]
    return "cuda:0"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them: of that list, those that are there.

    As CUDA reads it, the list ends at the first name that is none: "0,-1,1" shows one GPU.
    """
    count = gpu_count()
    listed = os.environ.get(_VISIBLE)
    if listed is None or not count:
        return [str(index) for index in range(count)]
    places = []
    for place in (name.strip() for name in listed.split(",")):
        if not place or place.startswith("-") or (place.isdecimal() and int(place) >= count):
            break
        places.append(place)
    return places


def gpu_count() -> int:
    """Of the machine, as NVIDIA's management library counts them, which opens no device. 0 without a driver."""
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return 0
    return count.value
