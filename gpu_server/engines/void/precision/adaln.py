"""A table of the outputs of the AdaLN linears, which depend on the timestep alone.

84 linears and the last one hold 0.79 B of the transformer's 5.57 B parameters. Their outputs for 30 timesteps take
about 93 MB in bfloat16. So the outputs are computed once for each schedule, linear by linear, and the weights are not
kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor, nn

from gpu_server.engines.void.precision.layers import role_of
from void_bridge.errors import InternalError


class TabulatedLinear(nn.Module):
    """A stand-in for an AdaLN linear, which returns that linear's output at the selected timestep.

    The output is a plain attribute, not a buffer: it stays on the device if the transformer is offloaded. `AdaLNTable`
    writes into it. Its shape does not depend on the schedule, so that one compiled graph serves for all schedules.

    Attributes:
        output: shape [1, N], in the type of the table.
    """

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the output for each sample.

        Args:
            embedding: shape [B, E]; only its batch size is read.

        Returns:
            Shape [B, N].
        """
        return self.output.expand(embedding.shape[0], -1)


class AdaLNTable:
    """The table of one transformer's AdaLN linears. Constructing it replaces the linears.

    Args:
        transformer: the transformer.
        reload: returns a tensor of the checkpoint by its name; called once for each linear and schedule.
        device: where the table is.
        dtype: the type of the table, and the type that the transformer computes in.

    Attributes:
        dtype: as given.
        timestep: the selected timestep, shape [1], int64, on the device.
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
        self._linears = _adaln_linears(transformer)
        self._current = torch.zeros(1, sum(self._linears.values()), dtype=dtype, device=device)
        self._table = self._current[:0]
        for name, output in self._by_linear(self._current):
            transformer.set_submodule(name, TabulatedLinear(output))

    @property
    def bytes(self) -> int:
        """Bytes of the table and of the selected row, on the device."""
        return self._table.nbytes + self._current.nbytes

    @torch.no_grad()
    def tabulate(self, timesteps: Sequence[int]) -> None:
        """Compute the table for a schedule, unless it holds that schedule already."""
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
        """Select a timestep of the schedule. The copies are queued on the device, so that the host does not wait.

        Raises:
            InternalError: the schedule has no such timestep.
        """
        if timestep not in self._rows:
            raise InternalError(f"got timestep {timestep}, expected one of {list(self._rows)}: call start() with it")
        self._current.copy_(self._table[self._rows[timestep]])
        self.timestep.fill_(timestep)

    def _by_linear(self, rows: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the columns of each linear, shape [R, N], of all linears' rows, shape [R, sum of N]."""
        yield from zip(self._linears, rows.split(list(self._linears.values()), dim=1), strict=True)

    def _embedding(self, timesteps: list[int]) -> Tensor:
        """Return the embeddings of timesteps, shape [R, E]."""
        embed = self._transformer.time_embedding
        here = embed.linear_1.weight.device
        return embed(self._transformer.time_proj(torch.tensor(timesteps, device=here)).to(self.dtype))


def _adaln_linears(transformer: CogVideoXTransformer3DModel) -> dict[str, int]:
    """Return the number of outputs of each AdaLN linear, by its name."""
    return {
        name: module.out_features
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and role_of(name) == "table"
    }
