"""Copies between host memory and the device that run beside the device's work.

A copy on a stream waits for all work queued before it. So tensors for a GPU are put into pinned memory and queued, and
results are read only after the next piece of work is queued behind them. On a CPU nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def send_to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the tensor on a device in a type; a copy to a GPU is queued and not waited for."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device, dtype)
    return tensor.to(dtype).contiguous().pin_memory().to(device, non_blocking=True)


class AsyncHostCopy:
    """A copy of a tensor in host memory, queued at construction. Work queued later does not delay it."""

    def __init__(self, tensor: Tensor) -> None:
        self._copy = tensor.to("cpu", non_blocking=True)
        self._arrival = torch.cuda.Event(blocking=True) if tensor.is_cuda else None
        if self._arrival is not None:
            self._arrival.record(torch.cuda.current_stream(tensor.device))

    @property
    def is_done(self) -> bool:
        """Whether `result` returns without waiting."""
        return self._arrival is None or self._arrival.query()

    def result(self) -> Tensor:
        """Wait for the copy and return it."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._copy


def stream_to_host(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the same tensors in host memory, each after the next one has been computed (on a GPU: queued)."""
    pending: AsyncHostCopy | None = None
    for tensor in tensors:
        copy = AsyncHostCopy(tensor)
        if pending is not None:
            yield pending.result()
        pending = copy
    if pending is not None:
        yield pending.result()
