"""The AdaLN linears as a table: their outputs depend on the timestep alone.

84 linears and the last one hold 0.79 B of the transformer's 5.57 B parameters. Their outputs for 30 timesteps take
about 93 MB in bfloat16. So they are worked out once a schedule, linear by linear, and their weights leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor, nn

from gpu_server.engines.void.precision.layers import role_of
from void_bridge.errors import InternalError


class TabledLinear(nn.Module):
    """Stands where an AdaLN linear stood and answers with what it would have given at the timestep of the moment.

    The answer, shape [1, N], is a plain attribute, not a buffer: it stays on the device whatever is offloaded. Others
    write into it; its shape does not depend on the schedule, so that what was compiled for one serves for all.
    """

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, embedding: Tensor) -> Tensor:
        """Shape [B, E] to [B, N]. What is in `embedding` is of no account, only how many there are."""
        return self.answer.expand(embedding.shape[0], -1)


class AdaLNTable:
    """The table of one transformer's AdaLN linears, and the timestep that all of them are at.

    reload: gives a tensor of the checkpoint by its name, wherever it lies; asked once a schedule, linear by linear.
    dtype: of the table, and of what the transformer computes in.
    timestep: shape [1], integer, on the device: the selected one.
    """

    def __init__(
        self,
        transformer: CogVideoXTransformer3DModel,
        reload: Callable[[str], Tensor],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._transformer, self._reload, self._device, self.dtype = transformer, reload, device, dtype
        self._rows: dict[int, int] = {}
        self.timestep = torch.zeros(1, dtype=torch.long, device=device)
        self._linears = _tabled_linears(transformer)
        self._current = torch.zeros(1, sum(self._linears.values()), dtype=dtype, device=device)
        self._table = self._current[:0]
        for name, answer in self._by_linear(self._current):
            transformer.set_submodule(name, TabledLinear(answer))

    @property
    def bytes(self) -> int:
        """Bytes of the table and of the selected row, on the device."""
        return self._table.nbytes + self._current.nbytes

    @torch.no_grad()
    def tabulate(self, timesteps: Sequence[int]) -> None:
        """Work out the table for a schedule. Does nothing where the schedule is the one that it holds."""
        rows = {int(timestep): i for i, timestep in enumerate(timesteps)}
        if list(rows) == list(self._rows):
            return
        activated = F.silu(self._embedding(list(rows))).to(self._device)
        self._table = self._current.new_empty(len(rows), self._current.shape[1])
        for name, columns in self._by_linear(self._table):
            weight, bias = (self._reload(f"{name}.{part}").to(self._device, self.dtype) for part in ("weight", "bias"))
            columns.copy_(F.linear(activated, weight, bias))
        self._rows = rows

    def select(self, timestep: int) -> None:
        """Be at a timestep of the schedule. Queued on the device: nothing comes from the host, nothing waits.

        Raises:
            InternalError: the schedule has no such timestep.
        """
        if timestep not in self._rows:
            raise InternalError(f"got timestep {timestep}, expected one of {list(self._rows)}: call start() with it")
        self._current.copy_(self._table[self._rows[timestep]])
        self.timestep.fill_(timestep)

    def _by_linear(self, rows: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The name and the columns of each linear, shape [R, N]."""
        yield from zip(self._linears, rows.split(list(self._linears.values()), dim=1), strict=True)

    def _embedding(self, timesteps: list[int]) -> Tensor:
        embed = self._transformer.time_embedding
        here = embed.linear_1.weight.device
        return embed(self._transformer.time_proj(torch.tensor(timesteps, device=here)).to(self.dtype))


def _tabled_linears(transformer: CogVideoXTransformer3DModel) -> dict[str, int]:
    """Names of the AdaLN linears, and how many outputs each has."""
    return {
        name: module.out_features
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and role_of(name) == "table"
    }
