"""The AdaLN linears as a table: their outputs depend on the timestep alone.

84 linears and the last one hold 0.79 B of the transformer's 5.57 B parameters. Their outputs for 30 timesteps take
about 93 MB in bfloat16. So they are worked out once a schedule, linear by linear, and their weights leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor, nn

from gpu_server.engines.void.precision.layers import role_of
from void_bridge.errors import InternalError


class TabledLinear(nn.Module):
    """Stands where an AdaLN linear stood and answers with a row of a table.

    The table and the row's number are plain attributes, not buffers: they stay on the device whatever is offloaded.
    """

    def __init__(self, row: Tensor) -> None:
        super().__init__()
        self.row = row
        self.table = torch.empty(0)

    def forward(self, embedding: Tensor) -> Tensor:
        """Shape [B, E] to [B, N]. What is in `embedding` is of no account, only how many there are."""
        return self.table.index_select(0, self.row).expand(embedding.shape[0], -1)


class AdaLNTable:
    """The tables of one transformer, and the timestep that all of them are at.

    reload: gives a tensor of the checkpoint by its name, wherever it lies; asked once a schedule, linear by linear.
    dtype: of the tables, and of what the transformer computes in.
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
        self._steps: dict[int, int] = {}
        self.timestep = torch.zeros(1, dtype=torch.long, device=device)
        self._row = torch.zeros(1, dtype=torch.long, device=device)
        self._tabled = {name: TabledLinear(self._row) for name in _table_names(transformer)}
        for name, tabled in self._tabled.items():
            transformer.set_submodule(name, tabled)

    @property
    def bytes(self) -> int:
        """Bytes of all tables on the device."""
        return sum(tabled.table.nbytes for tabled in self._tabled.values())

    @torch.no_grad()
    def tabulate(self, timesteps: Sequence[int]) -> None:
        """Work out the tables for a schedule. Does nothing where the schedule is the one that they hold."""
        steps = {int(timestep): i for i, timestep in enumerate(timesteps)}
        if list(steps) == list(self._steps):
            return
        activated = F.silu(self._embedding(list(steps))).to(self._device)
        for name, tabled in self._tabled.items():
            weight, bias = (self._reload(f"{name}.{part}").to(self._device, self.dtype) for part in ("weight", "bias"))
            tabled.table = F.linear(activated, weight, bias)
        self._steps = steps

    def select(self, timestep: int) -> None:
        """Be at a timestep of the schedule. Queued on the device: nothing is copied, nothing waits.

        Raises:
            InternalError: the schedule has no such timestep.
        """
        if timestep not in self._steps:
            raise InternalError(f"got timestep {timestep}, expected one of {list(self._steps)}: call start() with it")
        self._row.fill_(self._steps[timestep])
        self.timestep.fill_(timestep)

    def _embedding(self, timesteps: list[int]) -> Tensor:
        embed = self._transformer.time_embedding
        here = embed.linear_1.weight.device
        return embed(self._transformer.time_proj(torch.tensor(timesteps, device=here)).to(self.dtype))


def _table_names(transformer: CogVideoXTransformer3DModel) -> list[str]:
    linears = (name for name, module in transformer.named_modules() if isinstance(module, nn.Linear))
    return [name for name in linears if role_of(name) == "table"]
