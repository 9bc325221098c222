"""How much the VAE holds at its worst moment when its layers run over bands of rows. An estimate.

It follows `gpu_server.engines.void.bands`; see `vae_memory`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from gpu_server.engines.void.planner.spec import VaeSizes
from gpu_server.engines.void.planner.vae_memory import PeakElements, TensorSize, VaeLayers, larger, smaller

_BAND_COPIES = 6
"""Of a band while it is normalised: the last band, and five values of the normalisation; float32 ones count twice."""


class BandedVaeLayers(VaeLayers):
    """rows: of a band, at each layer's own resolution. parked: what convolutions keep waits elsewhere."""

    def __init__(self, sizes: VaeSizes, rows: int, parked: bool) -> None:
        super().__init__(sizes)
        self._rows, self._parked = rows, parked

    def residual(self, inputs: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        first = self._stage(inputs, out, latents)
        result = self._stage(first, out, latents)
        self.live.drop(first)
        shortcut = inputs.of(out if inputs.channels != out else 0)
        self.live.hold(shortcut)
        self.live.drop(shortcut)
        return result

    def _stage(self, hidden: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        """Norm, activation and convolution, band by band."""
        stretched = hidden.of(latents.channels if latents else 0)
        result, kept = hidden.of(out), hidden.during(2)
        self.live.hold(stretched, result)
        if self._parked:
            self.live.park(kept)
            self._over_bands(hidden)
        else:
            self.live.keep(kept)
            self._over_bands(hidden)
            self.live.replaced(kept)
        self.live.drop(stretched)
        return result

    def norm(self, hidden: TensorSize, latents: TensorSize | None) -> TensorSize:
        if latents is None:
            return super().norm(hidden, latents)
        stretched = hidden.of(latents.channels)
        self.live.hold(stretched, hidden)
        self._over_bands(hidden)
        self.live.drop(stretched)
        return hidden

    def _over_bands(self, hidden: TensorSize) -> None:
        band = replace(hidden, height=min(hidden.height, self._rows + 2))
        self.live.hold(*[band] * _BAND_COPIES)
        self.live.drop(*[band] * _BAND_COPIES)

    def upsample(self, hidden: TensorSize, longer: bool) -> TensorSize:
        large = larger(hidden, longer)
        return self._by_frame(hidden, large, large.during(1))

    def downsample(self, hidden: TensorSize, shorter: bool) -> TensorSize:
        return self._by_frame(hidden, smaller(hidden, shorter), hidden.during(1))

    def _by_frame(self, hidden: TensorSize, result: TensorSize, frame: TensorSize) -> TensorSize:
        self.live.hold(result, frame, frame)
        self.live.drop(frame, frame, hidden)
        return result


def _layers(sizes: VaeSizes, rows: int | None, parked: bool) -> VaeLayers:
    return VaeLayers(sizes) if rows is None else BandedVaeLayers(sizes, rows, parked)


@cache
def decode_elements(
    sizes: VaeSizes, latents: tuple[int, int], batches: tuple[int, ...], rows: int | None = None, parked: bool = False
) -> PeakElements:
    """While a video of `latents` (height, width) is decoded, `batches` latents at a time, the first one alone."""
    layers = _layers(sizes, rows, parked)
    for index, count in enumerate(batches):
        layers.decode(TensorSize(sizes.latent_channels, count, *latents), first=index == 0)
    return layers.live.alive


@cache
def encode_elements(
    sizes: VaeSizes, picture: tuple[int, int], batches: tuple[int, ...], rows: int | None = None, parked: bool = False
) -> PeakElements:
    """While a video of `picture` (height, width) is encoded, `batches` frames at a time."""
    layers = _layers(sizes, rows, parked)
    for count in batches:
        layers.encode(TensorSize(sizes.picture_channels, count, *picture))
    return layers.live.alive
