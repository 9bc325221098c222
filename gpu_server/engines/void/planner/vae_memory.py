"""How much the VAE holds at its worst moment: a walk through its layers with the tensors that are alive. An estimate.

It follows the forward passes of diffusers' `CogVideoXEncoder3D` and `CogVideoXDecoder3D` call by call: which results
each function still has a name for, which frames each causal convolution keeps for the next batch (its own copy; the
last batch's copies live until the whole pass returns), and how a size changes from level to level. What a kernel
allocates inside one call is not in it; the planner's reserve is for that. `banded_vae_memory` does the same for a VAE
whose layers run over bands of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpu_server.engines.void.planner.spec import VaeSizes
from gpu_server.engines.void.planner.weight_bytes import power_of_two


@dataclass(frozen=True)
class TensorSize:
    """A tensor of one video: channels, frames, height, width."""

    channels: int
    frames: int
    height: int
    width: int

    def __int__(self) -> int:
        return self.channels * self.frames * self.height * self.width

    def of(self, channels: int) -> TensorSize:
        return replace(self, channels=channels)

    def during(self, frames: int) -> TensorSize:
        return replace(self, frames=frames)


@dataclass(frozen=True)
class PeakElements:
    """Elements: at the worst moment; between two batches; parked elsewhere between two batches."""

    peak: int
    kept: int
    parked: int


class LiveElements:
    """Elements alive, and the most there ever were."""

    def __init__(self) -> None:
        self.peak = 0
        self._live = 0
        self._kept = 0
        self._kept_before = 0
        self._parked = 0
        self.alive = PeakElements(0, 0, 0)

    def hold(self, *sizes: TensorSize) -> None:
        self._live += sum(map(int, sizes))
        self.peak = max(self.peak, self._live)

    def drop(self, *sizes: TensorSize) -> None:
        self._live -= sum(map(int, sizes))

    def keep(self, size: TensorSize) -> None:
        """Until the next batch is through."""
        self._kept += int(size)
        self.hold(size)

    def park(self, size: TensorSize) -> None:
        """Kept for the next batch elsewhere: in pinned memory, which torch hands out in powers of two."""
        self._parked += power_of_two(int(size))

    def replaced(self, size: TensorSize) -> None:
        """What the batch before kept for this place is not needed any more."""
        if self._kept_before:
            self._kept_before -= int(size)
            self.drop(size)

    def end_batch(self) -> None:
        self._live -= self._kept_before
        self._kept_before, self._kept = self._kept, 0
        self.alive, self._parked = PeakElements(self.peak, self._kept_before, self._parked), 0


class VaeLayers:
    """The layers of the VAE; `ledger` sees what each of them holds, and each returns the size of its result."""

    def __init__(self, sizes: VaeSizes) -> None:
        self.live = LiveElements()
        self._sizes = sizes

    def decode(self, latents: TensorSize, first: bool) -> None:
        """One batch of latents. The first latent of a video, which comes alone, is not made longer."""
        hold, drop, sizes = self.live.hold, self.live.drop, self._sizes
        hold(latents)
        hidden = self.causal_conv(latents, sizes.channels[-1])
        hidden = self._blocks(hidden, [hidden.channels] * 2, latents)
        for level, channels in enumerate(reversed(sizes.channels)):
            before = hidden
            hidden = self._blocks(before, [channels] * (sizes.layers + 1), latents, owned=False)
            if level < len(sizes.channels) - 1:
                hidden = self.upsample(hidden, longer=level < sizes.time_halvings and not first)
            drop(before)
        hidden = self._activated(self.norm(hidden, latents), hidden)
        frames = self.causal_conv(hidden, sizes.picture_channels)
        drop(latents, hidden, frames)
        self.live.end_batch()

    def encode(self, frames: TensorSize) -> None:
        """One batch of frames."""
        hold, drop, sizes = self.live.hold, self.live.drop, self._sizes
        hold(frames)
        hidden = self.causal_conv(frames, sizes.channels[0])
        for level, channels in enumerate(sizes.channels):
            before = hidden
            hidden = self._blocks(before, [channels] * sizes.layers, None, owned=False)
            if level < len(sizes.channels) - 1:
                hidden = self.downsample(hidden, shorter=level < sizes.time_halvings)
            drop(before)
        hidden = self._blocks(hidden, [hidden.channels] * 2, None)
        hidden = self._activated(self.norm(hidden, None), hidden)
        moments = self.causal_conv(hidden, 2 * sizes.latent_channels)
        drop(frames, hidden, moments)
        self.live.end_batch()

    def _blocks(
        self, first: TensorSize, channels: Sequence[int], latents: TensorSize | None, owned: bool = True
    ) -> TensorSize:
        """Residual blocks in a row. What goes in is dropped with the first block's end where it is `owned`."""
        hidden = first
        for index, out in enumerate(channels):
            result = self.residual(hidden, out, latents)
            if index or owned:
                self.live.drop(hidden)
            hidden = result
        return hidden

    def residual(self, inputs: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        hold, drop = self.live.hold, self.live.drop
        normed = self.norm(inputs, latents)
        hold(normed)
        drop(normed)
        first = self.causal_conv(normed, out)
        drop(normed)
        second = self._activated(self.norm(first, latents), first)
        result = self.causal_conv(second, out)
        drop(second)
        shortcut = inputs.of(out if inputs.channels != out else 0)
        hold(shortcut, result)
        drop(shortcut, result)
        return result

    def _activated(self, normed: TensorSize, source: TensorSize) -> TensorSize:
        """SiLU of what was just normalised; `source`, from which it came, is dropped."""
        self.live.drop(source)
        self.live.hold(normed)
        self.live.drop(normed)
        return normed

    def norm(self, hidden: TensorSize, latents: TensorSize | None) -> TensorSize:
        """GroupNorm, in the decoder scaled and shifted by convolutions of the latents at this size.

        Each of these keeps a copy of what it was given, which the engine lets go of once the norm is through.
        """
        if latents is None:
            self.live.hold(hidden)
            return hidden
        stretched = hidden.of(latents.channels)
        copies = [stretched] * 3
        self.live.hold(*copies, *[hidden] * 5)
        self.live.drop(*copies, *[hidden] * 4)
        return hidden

    def causal_conv(self, hidden: TensorSize, out: int) -> TensorSize:
        """Three frames wide: two frames are put in front, and the last two are kept for the next batch."""
        lengthened = hidden.during(hidden.frames + 2)
        self.live.hold(lengthened)
        self.live.keep(hidden.during(2))
        result = hidden.of(out)
        self.live.hold(result)
        self.live.drop(lengthened)
        return result

    def upsample(self, hidden: TensorSize, longer: bool) -> TensorSize:
        large = larger(hidden, longer)
        rearranged = large if longer else hidden
        self.live.hold(large, rearranged)
        self.live.drop(rearranged)
        self.live.hold(large)
        self.live.drop(large, hidden)
        return large

    def downsample(self, hidden: TensorSize, shorter: bool) -> TensorSize:
        pooled = hidden.during((hidden.frames + 1) // 2) if shorter else hidden
        if shorter:
            self.live.hold(hidden, pooled)
            self.live.drop(hidden)
        padded = replace(pooled, height=pooled.height + 1, width=pooled.width + 1)
        self.live.hold(padded)
        if shorter:
            self.live.drop(pooled)
        self.live.hold(padded)
        self.live.drop(padded)
        small = smaller(hidden, shorter)
        self.live.hold(small)
        self.live.drop(padded, hidden)
        return small


def larger(hidden: TensorSize, longer: bool) -> TensorSize:
    frames = hidden.frames * 2 if longer else hidden.frames
    return TensorSize(hidden.channels, frames, 2 * hidden.height, 2 * hidden.width)


def smaller(hidden: TensorSize, shorter: bool) -> TensorSize:
    frames = (hidden.frames + 1) // 2 if shorter else hidden.frames
    return TensorSize(hidden.channels, frames, hidden.height // 2, hidden.width // 2)
