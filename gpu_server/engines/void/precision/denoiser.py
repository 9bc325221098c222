"""The transformer as the denoising loop calls it, with AdaLN table, attention kernel, step cache and compilation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor

from gpu_server.engines.void.precision.adaln import AdaLNTable
from gpu_server.engines.void.precision.attention import VoidAttention, attention_kernel, try_kernel
from gpu_server.engines.void.precision.compilation import CompiledBlocks, CompileFailed, keep_compiled_in
from gpu_server.engines.void.precision.layers import check_name
from gpu_server.engines.void.precision.placement import offload_blocks, place_transformer
from gpu_server.engines.void.precision.step_cache import StepCache
from void_bridge.options import STEP_CACHES


class OptimisedDenoiser:
    """A `Denoiser` over a transformer whose AdaLN linears are a table.

    Args:
        transformer: the transformer.
        table: the table of its AdaLN linears.
        cache: its step cache.
        compiled: its compiled blocks; None if it runs uncompiled.

    Attributes:
        notes: deviations from the request, as sentences for the job's report.
    """

    def __init__(
        self,
        transformer: CogVideoXTransformer3DModel,
        table: AdaLNTable,
        cache: StepCache,
        compiled: CompiledBlocks | None = None,
    ) -> None:
        self._transformer, self._table, self._cache, self._compiled = transformer, table, cache, compiled
        self.notes: list[str] = []

    @property
    def bytes(self) -> int:
        """Bytes of weights and tables on all devices."""
        return sum(tensor.nbytes for tensor in self._weights()) + self._table.bytes

    def bytes_on(self, device: torch.device) -> int:
        """Return the bytes of weights that are on a device now, without the tables."""
        return sum(tensor.nbytes for tensor in self._weights() if tensor.device == device)

    def start(self, timesteps: Sequence[int]) -> None:
        """Prepare for a loop: compute the AdaLN table unless it holds the schedule already, and clear the step cache.

        Args:
            timesteps: the schedule.
        """
        self._table.tabulate(timesteps)
        self._cache.reset()

    @torch.no_grad()
    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Run the model once.

        Args:
            hidden: latents and conditioning, shape [B, t, 48, h, w], any float type, on the model's device.
            prompt_embeds: shape [B, 226, D], any float type, on the model's device.
            timestep: one of those that `start` was given.
            rotary: cosines and sines, shape [positions, head] each, on the model's device.

        Returns:
            The prediction, shape [B, t, 16, h, w], in the type of `hidden`.

        Raises:
            InternalError: `start` was not given this timestep.
        """
        self._table.select(timestep)
        try:
            return self._run(hidden, prompt_embeds, timestep, rotary)
        except CompileFailed as exc:
            if self._compiled is None:
                raise
            self._fall_back(self._compiled, exc)
        return self._run(hidden, prompt_embeds, timestep, rotary)

    def to(self, device: torch.device) -> None:
        """Move the weights to a device, unless they are offloaded, and clear the step cache. The table stays."""
        self._cache.reset()
        self._transformer.to(device)

    def release(self) -> None:
        """Free the step cache after a loop: three tensors of all tokens for each window."""
        self._cache.reset()

    def _weights(self) -> Iterator[Tensor]:
        """Yield all weights."""
        yield from self._transformer.parameters()
        yield from self._transformer.buffers()

    def _fall_back(self, compiled: CompiledBlocks, reason: BaseException) -> None:
        """Run uncompiled from now on, and note the reason."""
        compiled.undo()
        self._compiled = None
        self._cache.reset()
        self.notes.append(f"the model runs uncompiled: {' '.join(str(reason).split())[:200]}")

    def _run(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Call the transformer in its own type, within its step cache."""
        dtype = self._table.dtype
        with self._cache.call_context(timestep, hidden.shape):
            sample = self._transformer(
                hidden.to(dtype),
                prompt_embeds.to(dtype),
                self._table.timestep.expand(hidden.shape[0]),
                image_rotary_emb=rotary,
                return_dict=False,
            )[0]
        return sample.to(hidden.dtype)


def build_denoiser(
    folder: Path,
    pass_number: int,
    *,
    precision: str,
    device: torch.device | str,
    attention: str = "sdpa",
    step_cache: str = "off",
    compiled: bool = False,
    compile_cache: Path | None = None,
    offload: str = "none",
) -> OptimisedDenoiser:
    """Build the denoiser of pass 1 or 2.

    Args:
        folder: the models folder.
        pass_number: 1 or 2.
        precision: float32, bf16, fp8-stored or fp8.
        device: where it computes.
        attention: a name of `available_attention()`.
        step_cache: off or first-block.
        compiled: whether to compile block by block, at the first call of each shape.
        compile_cache: a folder that keeps compiled code for later processes.
        offload: none, or blocks: the blocks are in host memory.

    Raises:
        UsageError: a name is not known.
        EngineError: the device or the installation lacks what a name needs, the attention does not run on the
            device, or the checkpoint holds an unknown layer.
        UnreadableFile: the checkpoint is missing, damaged or does not fit.
    """
    device = torch.device(device)
    check_name("step cache", step_cache, STEP_CACHES)
    kernel = attention_kernel(attention)
    transformer, table = place_transformer(folder, pass_number, precision, device, offload)
    try_kernel(attention, device, table.dtype, transformer.config.attention_head_dim)
    transformer.set_attn_processor(VoidAttention(kernel.product))
    if compiled and compile_cache:
        keep_compiled_in(compile_cache)
    blocks = CompiledBlocks(transformer) if compiled else None
    if offload == "blocks":
        offload_blocks(transformer, device)
    return OptimisedDenoiser(transformer, table, StepCache(transformer, step_cache), blocks)
