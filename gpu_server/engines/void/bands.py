"""The CogVideoX autoencoder in a third of the memory: its layers run over bands of rows, or frame by frame.

Tiles that each run through the whole model have group norms of their own, so that their colours differ and seams show.
Here frames are cut inside each layer instead. A group norm's mean and variance are computed over all bands first. Then,
band by band, values are normalised, activated and convolved, with the neighbouring rows that the convolution reaches.
The values are those of whole frames but for the order of additions.

Only the given model changes, and only while the context lasts: its layers change class, not weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import (
    CogVideoXCausalConv3d,
    CogVideoXResnetBlock3D,
    CogVideoXSpatialNorm3D,
)
from diffusers.models.downsampling import CogVideoXDownsample3D
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn

Band = tuple[int, int]
Normalise = Callable[[int, int], Tensor]
"""The normalised rows top..bottom-1 of a layer's input: shape [B, C, T, bottom - top, W]."""


@contextmanager
def in_bands(model: nn.Module, rows: int, parked: bool = False) -> Iterator[None]:
    """Run the autoencoder over bands of rows while the context lasts.

    A cache of its convolutions that is passed to it is used up: it is freed layer by layer, while the next one grows.

    Args:
        model: the autoencoder.
        rows: of a band, at each layer's own resolution.
        parked: keep the frames that convolutions cache for the next chunk in host memory, not on the device.
    """
    changed = [module for module in model.modules() if type(module) in _BANDED]
    for module in changed:
        module.__class__ = _BANDED[type(module)]
        module.band_rows, module.parked = rows, parked
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = type(module).__base__
            del module.band_rows, module.parked


class _Resnet(CogVideoXResnetBlock3D):
    """A residual block that runs over bands."""

    band_rows: int
    parked: bool

    def forward(
        self, inputs: Tensor, temb: None = None, zq: Tensor | None = None, conv_cache: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the layer; see the class of diffusers that it replaces."""
        cache = {} if conv_cache is None else conv_cache
        kept: dict[str, Tensor] = {}
        hidden = self._stage(inputs, self.norm1, self.conv1, zq, cache.pop("conv1", None), kept)
        hidden = self._stage(hidden, self.norm2, self.conv2, zq, cache.pop("conv2", None), kept)
        if self.in_channels != self.out_channels:
            inputs = self.conv_shortcut(inputs)
        return hidden.add_(inputs), kept

    def _stage(
        self,
        hidden: Tensor,
        norm: nn.Module,
        conv: CogVideoXCausalConv3d,
        zq: Tensor | None,
        past: Tensor | None,
        kept: dict[str, Tensor],
    ) -> Tensor:
        normalise = _normaliser(hidden, norm, zq, self.band_rows)

        def activated(top: int, bottom: int) -> Tensor:
            return self.nonlinearity(normalise(top, bottom))

        out, kept["conv1" if conv is self.conv1 else "conv2"] = _convolved(
            activated, conv, hidden, past, self.band_rows, self.parked
        )
        return out


class _SpatialNorm(CogVideoXSpatialNorm3D):
    """A norm that runs over bands."""

    band_rows: int

    def forward(self, f: Tensor, zq: Tensor, conv_cache: Any = None) -> tuple[Tensor, None]:
        """Run the layer; see the class of diffusers that it replaces."""
        normalise = _normaliser(f, self, zq, self.band_rows)
        out = torch.empty_like(f)
        for top, bottom in _bands(f.shape[-2], self.band_rows):
            out[..., top:bottom, :] = normalise(top, bottom)
        return out, None


class _Upsample(CogVideoXUpsample3D):
    """An upsampling layer that runs frame by frame. A frame that is doubled in time is convolved once."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the layer; see the class of diffusers that it replaces."""
        frames = inputs.shape[2]
        doubled = self.compress_time and frames > 1
        alone = frames % 2 if doubled else frames
        times = [1] * alone + [2] * (frames - alone)
        return _joined((self._larger(inputs[:, :, i]) for i in range(frames)), times)

    def _larger(self, frame: Tensor) -> Tensor:
        return self.conv(F.interpolate(frame, scale_factor=2.0))


class _Downsample(CogVideoXDownsample3D):
    """A downsampling layer that runs frame by frame."""

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer; see the class of diffusers that it replaces."""
        frames = x.shape[2]
        alone = frames % 2 if self.compress_time else frames
        spans = [(i, i + 1) for i in range(alone)] + [(i, i + 2) for i in range(alone, frames, 2)]
        smaller = (self.conv(F.pad(x[:, :, a:b].mean(2), (0, 1, 0, 1))) for a, b in spans)
        return _joined(smaller, [1] * len(spans))


def _joined(frames: Iterable[Tensor], times: Sequence[int]) -> Tensor:
    """Join frames, shape [B, C, H, W], each repeated so many times, to shape [B, C, sum(times), H, W]."""
    video: Tensor | None = None
    at = 0
    for frame, count in zip(frames, times, strict=True):
        if video is None:
            video = frame.new_empty(*frame.shape[:2], sum(times), *frame.shape[2:])
        video[:, :, at : at + count] = frame[:, :, None]
        at += count
    return video


_BANDED: dict[type, type] = {
    CogVideoXResnetBlock3D: _Resnet,
    CogVideoXSpatialNorm3D: _SpatialNorm,
    CogVideoXUpsample3D: _Upsample,
    CogVideoXDownsample3D: _Downsample,
}


def _normaliser(hidden: Tensor, norm: nn.Module, zq: Tensor | None, rows: int) -> Normalise:
    """Return a group norm of rows; with `zq` (shape [B, 16, t, h, w]) also scaled and shifted by the latents."""
    group_norm = norm if zq is None else norm.norm_layer
    scale, shift = _scale_and_shift(hidden, group_norm, rows)
    latents = None if zq is None else F.interpolate(zq, size=hidden.shape[-3:])

    def normalise(top: int, bottom: int) -> Tensor:
        band = (hidden[..., top:bottom, :].float() * scale + shift).to(hidden.dtype)
        if latents is None:
            return band
        around = latents[..., top:bottom, :]
        return band * norm.conv_y.conv(around) + norm.conv_b.conv(around)

    return normalise


def _scale_and_shift(hidden: Tensor, norm: nn.GroupNorm, rows: int) -> tuple[Tensor, Tensor]:
    """Return a group norm over whole frames as scale and shift of each channel: shape [B, C, 1, 1, 1], float32."""
    batch, channels = hidden.shape[:2]
    shares, means, variances = [], [], []
    for top, bottom in _bands(hidden.shape[-2], rows):
        band = hidden[..., top:bottom, :].reshape(batch, norm.num_groups, -1).float()
        variance, mean = torch.var_mean(band, dim=-1, correction=0)
        shares.append((bottom - top) / hidden.shape[-2])
        means.append(mean.double())
        variances.append(variance.double())
    mean = sum(m * share for m, share in zip(means, shares, strict=True))
    variance = sum((v + (m - mean) ** 2) * share for m, v, share in zip(means, variances, shares, strict=True))
    per_channel = channels // norm.num_groups
    inverse = (variance + norm.eps).rsqrt().repeat_interleave(per_channel, dim=1)
    scale = inverse * norm.weight.double()
    shift = norm.bias.double() - mean.repeat_interleave(per_channel, dim=1) * scale
    return scale.float()[..., None, None, None], shift.float()[..., None, None, None]


def _convolved(
    rows_of: Normalise,
    conv: CogVideoXCausalConv3d,
    like: Tensor,
    past: Tensor | None,
    rows: int,
    parked: bool,
) -> tuple[Tensor, Tensor]:
    """Return a causal convolution over bands, and the last frames of its input, which the next chunk needs.

    Args:
        rows_of: returns rows of the input.
        conv: the convolution.
        like: a tensor of the input's size and type, shape [B, C, T, H, W].
        past: last frames of the chunk before, shape [H, B, C, kernel - 1, W]; None repeats the first frame. Rows come
            first, so that those of a band are contiguous and can be copied while the device works.
        rows: of a band.
        parked: keep the last frames in host memory.
    """
    height, reach, back = like.shape[-2], conv.height_pad, conv.time_kernel_size - 1
    weight, bias = conv.conv.weight, conv.conv.bias
    out = like.new_empty(like.shape[0], weight.shape[0], *like.shape[2:])
    kept = _room_for_rows(like, back, parked)
    for top, bottom in _bands(height, rows):
        first, last = max(0, top - reach), min(height, bottom + reach)
        band = rows_of(first, last)
        if past is None:
            before = band[:, :, :1].expand(-1, -1, back, -1, -1)
        else:
            before = past[first:last].to(band.device, non_blocking=True).permute(1, 2, 3, 0, 4)
        band = torch.cat([before, band], dim=2)
        last_frames = band[:, :, -back:, top - first : bottom - first]
        kept[top:bottom].copy_(last_frames.permute(3, 0, 1, 2, 4).contiguous(), non_blocking=True)
        edges = (0, 0, reach - (top - first), reach - (last - bottom))
        out[..., top:bottom, :] = F.conv3d(F.pad(band, edges), weight, bias, padding=(0, 0, conv.width_pad))
    return out, kept


def _room_for_rows(like: Tensor, frames: int, parked: bool) -> Tensor:
    """Return an empty tensor for the last frames of an input: shape [H, B, C, frames, W]."""
    batch, channels, _, height, width = like.shape
    shape = (height, batch, channels, frames, width)
    if parked and like.is_cuda:
        return torch.empty(shape, dtype=like.dtype, pin_memory=True)
    return like.new_empty(shape)


def _bands(height: int, rows: int) -> list[Band]:
    """Return the first and last-plus-one rows of each band.

    >>> _bands(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]
