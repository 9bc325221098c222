"""Elements that the VAE holds at its peak when its layers run over bands of rows. An estimate.

It follows `gpu_server.engines.void.bands`; see `vae_memory`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from gpu_server.engines.void.planner.spec import VaeSizes
from gpu_server.engines.void.planner.vae_memory import PeakElements, TensorSize, VaeLayers, larger, smaller

_BAND_COPIES = 6
"""Copies of a band while it is normalised: the last band, and five values of the normalisation (float32: twice)."""


class BandedVaeLayers(VaeLayers):
    """The layers of a VAE that runs over bands.

    Args:
        sizes: the VAE.
        rows: rows of a band, at each layer's own resolution.
        parked: whether the frames that convolutions keep wait in host memory.
    """

    def __init__(self, sizes: VaeSizes, rows: int, parked: bool) -> None:
        super().__init__(sizes)
        self._rows, self._parked = rows, parked

    def residual(self, inputs: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        """Run a residual block of `out` channels."""
        first = self._stage(inputs, out, latents)
        result = self._stage(first, out, latents)
        self.elements.free(first)
        self.elements.touch(inputs.with_channels(out if inputs.channels != out else 0))
        return result

    def _stage(self, hidden: TensorSize, out: int, latents: TensorSize | None) -> TensorSize:
        """Run norm, activation and convolution band by band."""
        stretched = hidden.with_channels(latents.channels if latents else 0)
        result, kept = hidden.with_channels(out), hidden.with_frames(2)
        self.elements.allocate(stretched, result)
        if self._parked:
            self.elements.park(kept)
            self._over_bands(hidden)
        else:
            self.elements.keep(kept)
            self._over_bands(hidden)
            self.elements.free_kept(kept)
        self.elements.free(stretched)
        return result

    def norm(self, hidden: TensorSize, latents: TensorSize | None) -> TensorSize:
        """Run GroupNorm, in the decoder band by band."""
        if latents is None:
            return super().norm(hidden, latents)
        stretched = hidden.with_channels(latents.channels)
        self.elements.allocate(stretched, hidden)
        self._over_bands(hidden)
        self.elements.free(stretched)
        return hidden

    def _over_bands(self, hidden: TensorSize) -> None:
        """Count the copies of one band, which are freed again."""
        band = replace(hidden, height=min(hidden.height, self._rows + 2))
        self.elements.touch(*[band] * _BAND_COPIES)

    def upsample(self, hidden: TensorSize, longer: bool) -> TensorSize:
        """Double height and width, and the frames if `longer`, frame by frame."""
        large = larger(hidden, longer)
        return self._by_frame(hidden, large, large.with_frames(1))

    def downsample(self, hidden: TensorSize, shorter: bool) -> TensorSize:
        """Halve height and width, and the frames if `shorter`, frame by frame."""
        return self._by_frame(hidden, smaller(hidden, shorter), hidden.with_frames(1))

    def _by_frame(self, hidden: TensorSize, result: TensorSize, frame: TensorSize) -> TensorSize:
        """Count a resampling whose `frame`s are held one at a time, before and after."""
        self.elements.allocate(result, frame, frame)
        self.elements.free(frame, frame, hidden)
        return result


def _layers(sizes: VaeSizes, rows: int | None, parked: bool) -> VaeLayers:
    """Return the layers, over bands if there are rows."""
    return VaeLayers(sizes) if rows is None else BandedVaeLayers(sizes, rows, parked)


@cache
def decode_elements(
    sizes: VaeSizes, latents: tuple[int, int], batches: tuple[int, ...], rows: int | None = None, parked: bool = False
) -> PeakElements:
    """Return the elements that decoding a video holds.

    Args:
        sizes: the VAE.
        latents: height and width of the latents.
        batches: latents of each batch; the first batch is one latent.
        rows: rows of a band; None: whole.
        parked: whether the frames that convolutions keep wait in host memory.
    """
    layers = _layers(sizes, rows, parked)
    for index, count in enumerate(batches):
        layers.decode(TensorSize(sizes.latent_channels, count, *latents), first=index == 0)
    return layers.elements.totals


@cache
def encode_elements(
    sizes: VaeSizes, canvas: tuple[int, int], batches: tuple[int, ...], rows: int | None = None, parked: bool = False
) -> PeakElements:
    """Return the elements that encoding a video holds.

    Args:
        sizes: the VAE.
        canvas: height and width of the frames in pixels.
        batches: frames of each batch.
        rows: rows of a band; None: whole.
        parked: whether the frames that convolutions keep wait in host memory.
    """
    layers = _layers(sizes, rows, parked)
    for count in batches:
        layers.encode(TensorSize(sizes.frame_channels, count, *canvas))
    return layers.elements.totals
