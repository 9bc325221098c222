"""Compilation block by block: all blocks share one graph for each shape, kept in a folder from run to run.

diffusers' `compile_repeated_blocks` refuses this transformer. Only a block's own `forward` is compiled: the hooks that
diffusers puts around it (offloading, step caches) stay outside and break no graph.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

log = logging.getLogger(__name__)

CompileFailed = TorchDynamoException
"""The error of a block that could not be compiled. Other errors are not treated as such."""

GRAPHS = 64
"""Graphs that a process keeps for a block; the shapes of a few jobs exceed torch's own limit of 8."""

BlockForward = Callable[..., tuple[Tensor, Tensor]]


def keep_compiled_in(folder: Path) -> None:
    """Keep compiled code in a folder.

    torch reads the folder from the environment, so that this holds for the whole process. If the folder cannot be
    made, torch's own is used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        log.warning("cannot keep compiled code in %s: %s", folder, exc.strerror or exc)
        return
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")


class _CompiledForward:
    """A block's forward, compiled at its first call for each shape.

    The first block gets slices of one tensor and the others whole tensors; with equal strides one graph serves both.
    """

    def __init__(self, forward: BlockForward, backend: str) -> None:
        self.plain = forward
        self.current = torch.compile(forward, dynamic=False, backend=backend)

    def __call__(self, hidden_states: Tensor, encoder_hidden_states: Tensor, **rest: object) -> tuple[Tensor, Tensor]:
        return self.current(
            hidden_states=_packed(hidden_states), encoder_hidden_states=_packed(encoder_hidden_states), **rest
        )


class CompiledBlocks:
    """The compiled blocks of a transformer. Construct it before any hook is put around the blocks.

    Args:
        transformer: the transformer.
        backend: torch's name of the compiler.
    """

    def __init__(self, transformer: CogVideoXTransformer3DModel, backend: str = "inductor") -> None:
        torch._dynamo.config.recompile_limit = GRAPHS
        self._forwards = [_CompiledForward(block.forward, backend) for block in transformer.transformer_blocks]
        for block, forward in zip(transformer.transformer_blocks, self._forwards, strict=True):
            block.forward = forward

    def undo(self) -> None:
        """Run the blocks uncompiled from now on."""
        for forward in self._forwards:
            forward.current = forward.plain


def _packed(tokens: Tensor) -> Tensor:
    """Return tokens, shape [B, S, C], with the strides of a new tensor; copied only if not contiguous."""
    return tokens.flatten(0, 1).unflatten(0, tokens.shape[:2])
