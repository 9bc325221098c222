"""Errors of torch and its devices: which ones mean too little memory or a lost GPU, and the conversion to ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from void_bridge.errors import DeviceLost, OutOfMemory

_NO_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")
_LOST = ("CUDA error", "CUDA driver error", "CUDA unknown error", "No CUDA GPUs are available")


@contextmanager
def map_device_errors() -> Iterator[None]:
    """Convert errors of torch and its devices.

    Raises:
        OutOfMemory: if the device or the machine had too little memory.
        DeviceLost: if the GPU no longer answers.
    """
    try:
        yield
    except Exception as exc:
        if is_out_of_memory(exc):
            raise OutOfMemory(f"out of memory: {_first_line(exc)}; free memory, or choose a smaller --canvas") from exc
        if is_device_lost(exc):
            raise DeviceLost(
                f"the GPU no longer answers ({_first_line(exc)}); submit the job again, and look at the driver's log if"
                " this comes back"
            ) from exc
        raise


def is_out_of_memory(exc: BaseException) -> bool:
    """Return whether an exception, in any of torch's forms, says that a device or the machine had too little memory."""
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(exc, RuntimeError) and any(words in str(exc) for words in _NO_MEMORY)


def is_device_lost(exc: BaseException) -> bool:
    """Return whether an exception says that the GPU no longer answers.

    Torch's start-up and its libraries raise plain RuntimeErrors.
    """
    if isinstance(exc, torch.AcceleratorError):
        return True
    return isinstance(exc, RuntimeError) and any(words in str(exc) for words in _LOST)


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:200] if lines else type(exc).__name__
