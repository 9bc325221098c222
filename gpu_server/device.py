"""The GPUs of this machine, as the driver itself reports them: a worker without a model engine imports no torch."""

from __future__ import annotations

import ctypes
import os
import sys

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def claim_device(worker: int) -> str:
    """Limit this process to one GPU and return its device: "cuda:0", or "cpu" without a GPU.

    Call it before anything opens a GPU. With more workers than GPUs of `CUDA_VISIBLE_DEVICES`, some share one.

    Args:
        worker: the number of this process among the server's workers, from 0.
    """
    gpus = visible_gpus()
    if not gpus:
        return "cpu"
    os.environ[_VISIBLE] = gpus[worker % len(gpus)]
    return "cuda:0"


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by their names in `CUDA_VISIBLE_DEVICES`.

    The list ends at the first name that stands for no GPU, as CUDA reads it: "0,-1,1" shows one GPU.
    """
    count = gpu_count()
    listed = os.environ.get(_VISIBLE)
    if listed is None or not count:
        return [str(index) for index in range(count)]
    gpus = []
    for name in (name.strip() for name in listed.split(",")):
        if not name or name.startswith("-") or (name.isdecimal() and int(name) >= count):
            break
        gpus.append(name)
    return gpus


def gpu_count() -> int:
    """Return the number of GPUs of the machine by NVIDIA's management library, which opens none; 0 without a driver."""
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return 0
    return count.value
