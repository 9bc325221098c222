"""Elements that the VAE holds at its peak, from a walk through its layers. An estimate.

It follows the forward passes of diffusers' `CogVideoXEncoder3D` and `CogVideoXDecoder3D` call by call: which results
each function still refers to, which frames each causal convolution keeps for the next batch (its own copy; the last
batch's copies live until the whole pass returns), and how a size changes from level to level. Allocations inside a
kernel are not counted; `memory_plans.SLACK` is for those. `banded_vae_memory` does the same for a VAE whose layers run
over bands of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpu_server.engines.void.planner.spec import VaeSizes
from gpu_server.engines.void.planner.weight_bytes import power_of_two


@dataclass(frozen=True)
class TensorSize:
    """The size of a tensor of one video."""

    channels: int
    frames: int
    height: int
    width: int

    def __int__(self) -> int:
        return self.channels * self.frames * self.height * self.width

    def with_channels(self, channels: int) -> TensorSize:
        """Return the size with other channels."""
        return replace(self, channels=channels)

    def with_frames(self, frames: int) -> TensorSize:
        """Return the size with another number of frames."""
        return replace(self, frames=frames)


@dataclass(frozen=True)
class PeakElements:
    """Elements that a pass holds.

    Attributes:
        peak: at the peak.
        kept: between two batches.
        parked: in host memory between two batches.
    """

    peak: int
    kept: int
    parked: int


class LiveElements:
    """A count of the elements that are allocated, and its peak so far."""

    def __init__(self) -> None:
        self.peak = 0
        self._live = 0
        self._kept = 0
        self._kept_before = 0
        self._parked = 0
        self.totals = PeakElements(0, 0, 0)

    def allocate(self, *sizes: TensorSize) -> None:
        """Count tensors that come to life."""
        self._live += sum(map(int, sizes))
        self.peak = max(self.peak, self._live)

    def free(self, *sizes: TensorSize) -> None:
        """Count tensors that are dropped."""
        self._live -= sum(map(int, sizes))

    def touch(self, *sizes: TensorSize) -> None:
        """Count tensors that are dropped again at once."""
        self.allocate(*sizes)
        self.free(*sizes)

    def keep(self, size: TensorSize) -> None:
        """Count a tensor that is kept until the end of the next batch."""
        self._kept += int(size)
        self.allocate(size)

    def park(self, size: TensorSize) -> None:
        """Count a tensor that is kept in pinned host memory, which torch hands out in powers of two."""
        self._parked += power_of_two(int(size))

    def free_kept(self, size: TensorSize) -> None:
        """Free the tensor that the last batch kept for the same layer."""
        if self._kept_before:
            self._kept_before -= int(size)
            self.free(size)

    def end_batch(self) -> None:
        """Free all that the last batch kept, and take stock."""
        self._live -= self._kept_before
        self._kept_before, self._kept = self._kept, 0
        self.totals, self._parked = PeakElements(self.peak, self._kept_before, self._parked), 0


class VaeLayers:
    """The layers of the VAE. Each counts its tensors and returns the size of its result, which stays allocated.

    Attributes:
        elements: the count.
    """

    def __init__(self, sizes: VaeSizes) -> None:
        self.elements = LiveElements()
        self._sizes = sizes

    def decode(self, latents: TensorSize, first: bool) -> None:
        """Decode one batch of latents. The first latent of a video comes alone and gives one frame."""
        allocate, free, sizes = self.elements.allocate, self.elements.free, self._sizes
        allocate(latents)
        hidden = self.causal_conv(latents, sizes.channels[-1])
        hidden = self._blocks(hidden, [hidden.channels] * 2, latents)
        for level, channels in enumerate(reversed(sizes.channels)):
            before = hidden
            hidden = self._blocks(before, [channels] * (sizes.layers + 1), latents, owned=False)
            if level < len(sizes.channels) - 1:
                hidden = self.upsample(hidden, longer=level < sizes.time_halvings and not first)
            free(before)
        hidden = self._activated(self.norm(hidden, latents), hidden)
        frames = self.causal_conv(hidden, sizes.frame_channels)
        free(latents, hidden, frames)
        self.elements.end_batch()

    def encode(self, frames: TensorSize) -> None:
        """Encode one batch of frames."""
        allocate, free, sizes = self.elements.allocate, self.elements.free, self._sizes
        allocate(frames)
        hidden = self.causal_conv(frames, sizes.channels[0])
        for level, channels in enumerate(sizes.channels):
            before = hidden
            hidden = self._blocks(before, [channels] * sizes.layers, None, owned=False)
            if level < len(sizes.channels) - 1:
                hidden = self.downsample(hidden, shorter=level < sizes.time_halvings)
            free(before)
        hidden = self._blocks(hidden, [hidden.channels] * 2, None)
        hidden = self._activated(self.norm(hidden, None), hidden)
        moments = self.causal_conv(hidden, 2 * sizes.latent_channels)
        free(frames, hidden, moments)
        self.elements.end_batch()

    def _blocks(
        self, first: TensorSize, channels: Sequence[int], latents: TensorSize | None, owned: bool = True
    ) -> TensorSize:
        """Run residual blocks in a row. If the input is `owned`, it is freed at the first block's end."""
        hidden = first
        for index, out in enumerate(channels):
            result = self.residual(hidden, out, latents)
            if index or owned:
                self.elements.free(hidden)
            hidden = result
        return hidden

    def residual(self, inputs: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        """Run a residual block of `out` channels."""
        elements = self.elements
        normed = self.norm(inputs, latents)
        elements.touch(normed)
        first = self.causal_conv(normed, out)
        elements.free(normed)
        second = self._activated(self.norm(first, latents), first)
        result = self.causal_conv(second, out)
        elements.free(second)
        elements.touch(inputs.with_channels(out if inputs.channels != out else 0), result)
        return result

    def _activated(self, normed: TensorSize, source: TensorSize) -> TensorSize:
        """Run SiLU on a normalised tensor and free the `source` of the normalisation."""
        self.elements.free(source)
        self.elements.touch(normed)
        return normed

    def norm(self, hidden: TensorSize, latents: TensorSize | None) -> TensorSize:
        """Run GroupNorm, in the decoder scaled and shifted by convolutions of the latents at this size.

        Each of these convolutions keeps a copy of its input, which the engine frees after the norm.
        """
        if latents is None:
            self.elements.allocate(hidden)
            return hidden
        stretched = hidden.with_channels(latents.channels)
        copies = [stretched] * 3
        self.elements.allocate(*copies, *[hidden] * 5)
        self.elements.free(*copies, *[hidden] * 4)
        return hidden

    def causal_conv(self, hidden: TensorSize, out: int) -> TensorSize:
        """Run a convolution over three frames: two are put in front, and the last two are kept for the next batch."""
        lengthened = hidden.with_frames(hidden.frames + 2)
        self.elements.allocate(lengthened)
        self.elements.keep(hidden.with_frames(2))
        result = hidden.with_channels(out)
        self.elements.allocate(result)
        self.elements.free(lengthened)
        return result

    def upsample(self, hidden: TensorSize, longer: bool) -> TensorSize:
        """Double height and width, and the frames if `longer`."""
        large = larger(hidden, longer)
        rearranged = large if longer else hidden
        self.elements.allocate(large, rearranged)
        self.elements.free(rearranged)
        self.elements.touch(large)
        self.elements.free(hidden)
        return large

    def downsample(self, hidden: TensorSize, shorter: bool) -> TensorSize:
        """Halve height and width, and the frames if `shorter`."""
        pooled = hidden.with_frames((hidden.frames + 1) // 2) if shorter else hidden
        if shorter:
            self.elements.allocate(hidden, pooled)
            self.elements.free(hidden)
        padded = replace(pooled, height=pooled.height + 1, width=pooled.width + 1)
        self.elements.allocate(padded)
        if shorter:
            self.elements.free(pooled)
        self.elements.touch(padded)
        small = smaller(hidden, shorter)
        self.elements.allocate(small)
        self.elements.free(padded, hidden)
        return small


def larger(hidden: TensorSize, longer: bool) -> TensorSize:
    """Return a size with doubled height and width, and doubled frames if `longer`."""
    frames = hidden.frames * 2 if longer else hidden.frames
    return TensorSize(hidden.channels, frames, 2 * hidden.height, 2 * hidden.width)


def smaller(hidden: TensorSize, shorter: bool) -> TensorSize:
    """Return a size with halved height and width, and halved frames if `shorter`."""
    frames = (hidden.frames + 1) // 2 if shorter else hidden.frames
    return TensorSize(hidden.channels, frames, hidden.height // 2, hidden.width // 2)
