"""Step caches by name: steps that change little skip most of the transformer. Off by default.

`first-block` is diffusers' First Block Cache: if the first block's residual differs from that of the last computed
step by less than a threshold, the residual of all later blocks is taken from that step. The comparison is read from
the device, so that the host waits once for each call.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from diffusers import CogVideoXTransformer3DModel
from diffusers.hooks import FirstBlockCacheConfig, HookRegistry

from gpu_server.engines.void.precision.layers import check_name
from void_bridge.errors import UsageError
from void_bridge.options import STEP_CACHES

THRESHOLD = 0.05


class StepCache:
    """The step cache of a transformer, with a state for each window of a loop.

    Within a step the calls come in the same order as in the step before, and the n-th call of a step reads the state
    of the n-th call of the last one. A call is a window, or half of one under guidance if the halves run one by one.

    Args:
        transformer: the transformer.
        name: off or first-block.
        threshold: relative difference of residuals below which a step is skipped.

    Raises:
        UsageError: no step cache has this name, or the transformer has only one block.
    """

    def __init__(self, transformer: CogVideoXTransformer3DModel, name: str, threshold: float = THRESHOLD) -> None:
        check_name("step cache", name, STEP_CACHES)
        if name == "first-block" and len(transformer.transformer_blocks) < 2:
            raise UsageError("got a transformer of one block, expected two or more for 'first-block': choose 'off'")
        self._transformer, self._on = transformer, name == "first-block"
        self._timestep: int | None = None
        self._call = 0
        if self._on:
            transformer.enable_cache(FirstBlockCacheConfig(threshold))

    def reset(self) -> None:
        """Drop the state of every window. Call it before each loop."""
        self._timestep, self._call = None, 0
        if self._on:
            HookRegistry.check_if_exists_or_initialize(self._transformer).reset_stateful_hooks()

    def call_context(self, timestep: int, shape: tuple[int, ...]) -> AbstractContextManager[None]:
        """Return the context to make the next call of the transformer in.

        Args:
            timestep: the step's timestep; a new one begins a step.
            shape: the input's shape; a window whose shape changed starts without state.
        """
        self._call = self._call + 1 if timestep == self._timestep else 0
        self._timestep = timestep
        if not self._on:
            return nullcontext()
        return self._transformer.cache_context(f"window {self._call} {tuple(shape)}")
