"""Between the machine's memory and the device, without either waiting for the other.

A copy waits for all that was queued before it. So what goes to a GPU is put into pinned memory and queued, and what
comes back is read when the next piece of work is already queued behind it. On a CPU nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def send_to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The tensor on a device, in a type."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device, dtype)
    return tensor.to(dtype).contiguous().pin_memory().to(device, non_blocking=True)


class AsyncHostCopy:
    """A tensor on its way to the machine's memory; what is queued after it does not hold it up."""

    def __init__(self, tensor: Tensor) -> None:
        self._here = tensor.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event(blocking=True) if tensor.is_cuda else None
        if self._arrived is not None:
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    @property
    def is_here(self) -> bool:
        return self._arrived is None or self._arrived.query()

    def read(self) -> Tensor:
        """Wait for it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._here


def stream_to_host(made: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same tensors in the machine's memory, each when the next one has been made, which is to say queued."""
    last: AsyncHostCopy | None = None
    for tensor in made:
        coming = AsyncHostCopy(tensor)
        if last is not None:
            yield last.read()
        last = coming
    if last is not None:
        yield last.read()
