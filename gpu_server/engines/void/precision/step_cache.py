"""Step caching behind a name: steps that change little leave out most of the transformer. Off by default.

`first-block` is diffusers' First Block Cache: where the first block's residual differs from that of the last step
that was computed by less than a threshold, the residual of all later blocks is taken from there. The comparison is
read from the device, so the host waits once a call.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from diffusers import CogVideoXTransformer3DModel
from diffusers.hooks import FirstBlockCacheConfig

from gpu_server.engines.void.precision.layers import check_name
from void_bridge.errors import UsageError

STEP_CACHES = ("off", "first-block")
THRESHOLD = 0.05


class StepCache:
    """What a transformer remembers from step to step, kept apart for every window of a loop.

    Within a step the calls come in the same order as in the step before, and the n-th call of a step goes on from the
    n-th call of the last one: windows, and the halves of classifier-free guidance where they are calls of their own.
    """

    def __init__(self, transformer: CogVideoXTransformer3DModel, name: str, threshold: float = THRESHOLD) -> None:
        """
        Raises:
            UsageError: no step cache has this name, or the transformer has one block alone.
        """
        check_name("step cache", name, STEP_CACHES)
        if name == "first-block" and len(transformer.transformer_blocks) < 2:
            raise UsageError("got a transformer of one block, expected two or more for 'first-block': choose 'off'")
        self._transformer, self._on = transformer, name == "first-block"
        self._timestep: int | None = None
        self._call = 0
        if self._on:
            transformer.enable_cache(FirstBlockCacheConfig(threshold))

    def reset(self) -> None:
        """Forget every window. Before each loop."""
        self._timestep, self._call = None, 0
        if self._on:
            self._transformer._reset_stateful_cache()

    def window(self, timestep: int, shape: tuple[int, ...]) -> AbstractContextManager[None]:
        """The context of the next call. A window whose shape changed starts anew."""
        self._call = self._call + 1 if timestep == self._timestep else 0
        self._timestep = timestep
        if not self._on:
            return nullcontext()
        return self._transformer.cache_context(f"window {self._call} {tuple(shape)}")
