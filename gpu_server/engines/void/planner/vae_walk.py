"""How much the VAE holds at its worst moment: a walk through its layers with the tensors that are alive. An estimate.

It follows the forward passes of diffusers' `CogVideoXEncoder3D` and `CogVideoXDecoder3D` call by call: which results
each function still has a name for, which frames each causal convolution keeps for the next batch (its own copy; the
last batch's copies live until the whole pass returns), and how a size changes from level to level. What a kernel
allocates inside one call is not in it; the planner's reserve is for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from gpu_server.engines.void.planner.spec import VaeSizes


@dataclass(frozen=True)
class _Size:
    """A tensor of one video: channels, frames, height, width."""

    channels: int
    frames: int
    height: int
    width: int

    def __int__(self) -> int:
        return self.channels * self.frames * self.height * self.width

    def of(self, channels: int) -> _Size:
        return replace(self, channels=channels)

    def during(self, frames: int) -> _Size:
        return replace(self, frames=frames)


class _Ledger:
    """Elements alive, and the most there ever were."""

    def __init__(self) -> None:
        self.peak = 0
        self._live = 0
        self._kept = 0

    def hold(self, *sizes: _Size) -> None:
        self._live += sum(map(int, sizes))
        self.peak = max(self.peak, self._live)

    def drop(self, *sizes: _Size) -> None:
        self._live -= sum(map(int, sizes))

    def keep(self, size: _Size) -> None:
        """Until the next batch is through."""
        self._kept += int(size)
        self.hold(size)

    def end_batch(self, kept_before: int) -> int:
        """Drops what the batch before had kept. Returns what this one kept."""
        self._live -= kept_before
        kept, self._kept = self._kept, 0
        return kept


@dataclass(frozen=True)
class Alive:
    """Elements: at the worst moment, and between two batches."""

    peak: int
    kept: int


@cache
def decode_elements(sizes: VaeSizes, latents: tuple[int, int], batches: tuple[int, ...]) -> Alive:
    """While a video of `latents` (height, width) is decoded, `batches` latents at a time, the first one alone."""
    ledger, kept = _Ledger(), 0
    for index, count in enumerate(batches):
        _decode_batch(ledger, sizes, _Size(sizes.latent_channels, count, *latents), first=index == 0)
        kept = ledger.end_batch(kept)
    return Alive(ledger.peak, kept)


@cache
def encode_elements(sizes: VaeSizes, picture: tuple[int, int], batches: tuple[int, ...]) -> Alive:
    """While a video of `picture` (height, width) is encoded, `batches` frames at a time."""
    ledger, kept = _Ledger(), 0
    for count in batches:
        _encode_batch(ledger, sizes, _Size(sizes.picture_channels, count, *picture))
        kept = ledger.end_batch(kept)
    return Alive(ledger.peak, kept)


def _decode_batch(ledger: _Ledger, sizes: VaeSizes, latents: _Size, first: bool) -> None:
    ledger.hold(latents)
    hidden = _causal_conv(ledger, latents, sizes.channels[-1])
    hidden = _blocks(ledger, hidden, [hidden.channels] * 2, latents)
    for level, channels in enumerate(reversed(sizes.channels)):
        before = hidden
        hidden = _blocks(ledger, before, [channels] * (sizes.layers + 1), latents, owned=False)
        if level < len(sizes.channels) - 1:
            hidden = _upsample(ledger, hidden, longer=level < sizes.time_halvings and not first)
        ledger.drop(before)
    hidden = _activated(ledger, _norm(ledger, hidden, latents), hidden)
    frames = _causal_conv(ledger, hidden, sizes.picture_channels)
    ledger.drop(latents, hidden, frames)


def _encode_batch(ledger: _Ledger, sizes: VaeSizes, frames: _Size) -> None:
    ledger.hold(frames)
    hidden = _causal_conv(ledger, frames, sizes.channels[0])
    for level, channels in enumerate(sizes.channels):
        before = hidden
        hidden = _blocks(ledger, before, [channels] * sizes.layers, None, owned=False)
        if level < len(sizes.channels) - 1:
            hidden = _downsample(ledger, hidden, shorter=level < sizes.time_halvings)
        ledger.drop(before)
    hidden = _blocks(ledger, hidden, [hidden.channels] * 2, None)
    hidden = _activated(ledger, _norm(ledger, hidden, None), hidden)
    moments = _causal_conv(ledger, hidden, 2 * sizes.latent_channels)
    ledger.drop(frames, hidden, moments)


def _blocks(ledger: _Ledger, first: _Size, channels: Sequence[int], latents: _Size | None, owned: bool = True) -> _Size:
    """Residual blocks in a row. What goes in is dropped with the first block's end where it is `owned`."""
    hidden = first
    for index, out in enumerate(channels):
        result = _residual(ledger, hidden, out, latents)
        if index or owned:
            ledger.drop(hidden)
        hidden = result
    return hidden


def _residual(ledger: _Ledger, inputs: _Size, out: int, latents: _Size | None) -> _Size:
    normed = _norm(ledger, inputs, latents)
    ledger.hold(normed)
    ledger.drop(normed)
    first = _causal_conv(ledger, normed, out)
    ledger.drop(normed)
    second = _activated(ledger, _norm(ledger, first, latents), first)
    result = _causal_conv(ledger, second, out)
    ledger.drop(second)
    shortcut = inputs.of(out) if inputs.channels != out else inputs.of(0)
    ledger.hold(shortcut, result)
    ledger.drop(shortcut, result)
    return result


def _activated(ledger: _Ledger, normed: _Size, source: _Size) -> _Size:
    """SiLU of what was just normalised; `source`, from which it came, is dropped."""
    ledger.drop(source)
    ledger.hold(normed)
    ledger.drop(normed)
    return normed


def _norm(ledger: _Ledger, hidden: _Size, latents: _Size | None) -> _Size:
    """GroupNorm, in the decoder scaled and shifted by convolutions of the latents at this size."""
    if latents is None:
        ledger.hold(hidden)
        return hidden
    stretched = hidden.of(latents.channels)
    ledger.hold(stretched)
    for _ in ("scale", "shift"):
        ledger.keep(stretched)
        ledger.hold(hidden)
    ledger.hold(hidden, hidden, hidden)
    ledger.drop(hidden, hidden, hidden, hidden, stretched)
    return hidden


def _causal_conv(ledger: _Ledger, hidden: _Size, out: int) -> _Size:
    """Three frames wide: two frames are put in front, and the last two are kept for the next batch."""
    lengthened = hidden.during(hidden.frames + 2)
    ledger.hold(lengthened)
    ledger.keep(hidden.during(2))
    result = hidden.of(out)
    ledger.hold(result)
    ledger.drop(lengthened)
    return result


def _upsample(ledger: _Ledger, hidden: _Size, longer: bool) -> _Size:
    frames = hidden.frames * 2 if longer else hidden.frames
    large = _Size(hidden.channels, frames, 2 * hidden.height, 2 * hidden.width)
    rearranged = large if longer else hidden
    ledger.hold(large, rearranged)
    ledger.drop(rearranged)
    ledger.hold(large)
    ledger.drop(large, hidden)
    return large


def _downsample(ledger: _Ledger, hidden: _Size, shorter: bool) -> _Size:
    pooled = hidden.during((hidden.frames + 1) // 2) if shorter else hidden
    if shorter:
        ledger.hold(hidden, pooled)
        ledger.drop(hidden)
    padded = replace(pooled, height=pooled.height + 1, width=pooled.width + 1)
    ledger.hold(padded)
    if shorter:
        ledger.drop(pooled)
    ledger.hold(padded)
    ledger.drop(padded)
    small = replace(pooled, height=pooled.height // 2, width=pooled.width // 2)
    ledger.hold(small)
    ledger.drop(padded, hidden)
    return small
