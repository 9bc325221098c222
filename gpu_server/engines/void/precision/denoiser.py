"""The transformer as the denoising loop calls it: tables, attention, step cache and compilation together."""

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
from gpu_server.engines.void.precision.offload import offload_blocks
from gpu_server.engines.void.precision.placing import place_transformer
from gpu_server.engines.void.precision.step_cache import STEP_CACHES, StepCache


class OptimisedDenoiser:
    """A `Denoiser` over a transformer whose AdaLN linears are a table.

    notes: what went otherwise than asked, a sentence each, for the job's report.
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
        """Bytes of weights and tables, wherever they lie."""
        return sum(tensor.nbytes for tensor in self._weights()) + self._table.bytes

    def bytes_on(self, device: torch.device) -> int:
        """Bytes of weights that lie on a device now, without the tables."""
        return sum(tensor.nbytes for tensor in self._weights() if tensor.device == device)

    def start(self, timesteps: Sequence[int]) -> None:
        """Before a loop: works out the AdaLN tables unless the schedule is that of the last loop, forgets steps."""
        self._table.tabulate(timesteps)
        self._cache.reset()

    @torch.no_grad()
    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """One call of the model.

        Args:
            hidden: shape [B, t, 48, h, w]. prompt_embeds: shape [B, 226, D]. Any float type, on the model's device.
            timestep: one of those that `start` was given.
            rotary: cosines and sines, shape [positions, head] each, on the model's device.

        Returns:
            Shape [B, t, 16, h, w], in the type of `hidden`.

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
        """Move the weights, unless they are offloaded. The tables stay; what the step cache holds goes."""
        self._cache.reset()
        self._transformer.to(device)

    def rest(self) -> None:
        """After a loop: let go of what the step cache holds, three tensors the size of all tokens a window."""
        self._cache.reset()

    def _weights(self) -> Iterator[Tensor]:
        yield from self._transformer.parameters()
        yield from self._transformer.buffers()

    def _fall_back(self, compiled: CompiledBlocks, reason: BaseException) -> None:
        compiled.undo()
        self._compiled = None
        self._cache.reset()
        self.notes.append(f"the model runs uncompiled: {' '.join(str(reason).split())[:200]}")

    def _run(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        dtype = self._table.dtype
        with self._cache.window(timestep, hidden.shape):
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
    """The denoiser of pass 1 or 2, from the models folder.

    Args:
        precision: float32, bf16, fp8-stored or fp8.
        attention: a name of `available_attention()`.
        step_cache: off or first-block.
        compiled: compile block by block, at the first call of each shape.
        compile_cache: a folder that keeps what was compiled for later processes.
        offload: none, or blocks: the blocks lie in host memory.

    Raises:
        UsageError: a name that is not known.
        EngineError: the device or an installed package is missing what a name needs, the attention does not run on
            the device, or an unknown layer.
        UnreadableFile: a checkpoint that is missing, damaged or does not fit.
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
