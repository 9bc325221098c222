"""Noise that moves with the picture: white in every frame, and the same noise along the motion.

After Go-with-the-Flow (R. Burgert and others, CVPR 2025), whose three rules are kept: what is stretched is shared out
with fresh noise so that the shares are independent, what is squeezed together is added by area, and every value stays
N(0, 1). Here the noise sits on particles that move freely at the canvas's resolution and are never rounded to a grid;
a latent is the sum of the particles over it. docs/decisions/005-warped-noise.md has the reasons and the figures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import rng
from gpu_server.engines.void.latent_geometry import CELL, LATENT_CHANNELS
from void_bridge.errors import SizeMismatch

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_BIN = 2
"""Pixels across the square that always holds a particle: a lattice of one a pixel leaves none empty, however turned."""
_MOST_IN_A_BIN = 8
_MARGIN = CELL
"""Pixels kept around the canvas, so that a slow pan uncovers noise that was there already."""
_FAR = np.float32(1e5)
"""Pixels further than anything moves, for motion that is not a number."""
_LEAST_WEIGHT = np.float32(2.0**-20)
_MOST_WEIGHT = np.float32(8)
"""In pixels. What is swept up before a moving object's edge weighs no more than this there."""
_SOLVER_STEPS = 12
_FOUND_PX = 1.0


class NoiseField:
    """White noise on particles over the canvas and a margin around it.

    A particle has a place (x, y; pixel centres are whole numbers), a value a channel, N(0, 1) and independent of every
    other's, and a weight: the area of the first frame, or of new noise, that it stands for.

    Args:
        shape: h and w in latents; the canvas is 8 times that in pixels.
    """

    def __init__(self, shape: tuple[int, int], seed: int, channels: int = LATENT_CHANNELS) -> None:
        self._shape, self._seed, self._channels = shape, seed, channels
        self._canvas = (shape[0] * CELL, shape[1] * CELL)
        self._bins = tuple((side + 2 * _MARGIN) // _BIN for side in self._canvas)
        self._moves = 0
        self._place = np.empty((2, 0), np.float32)
        self._value = np.empty((channels, 0), np.float32)
        self._weight = np.empty(0, np.float32)
        self._add_new(self._places_in(np.arange(self._bins[0] * self._bins[1])), rng(seed, "warped noise", 0))

    def latents(self) -> Array:
        """Shape [channels, h, w], N(0, 1), no two values related."""
        height, width = self._shape
        columns, rows = _whole(self._place) // CELL
        beyond = height * width
        cell = np.where(_inside(self._place, self._canvas), rows * width + columns, beyond)
        value, _ = _merged(self._value, self._weight, cell, beyond + 1)
        return value[:, :beyond].reshape(self._channels, height, width)

    def move(self, flow: Array) -> None:
        """Go on to the next frame.

        Args:
            flow: shape [8 h, 8 w, 2] in pixels: what is at p goes to p + flow[p].

        Raises:
            SizeMismatch: a flow of another shape.
        """
        if flow.shape != (*self._canvas, 2):
            raise SizeMismatch(f"got a flow of shape {flow.shape}, expected {(*self._canvas, 2)}: the canvas's pixels")
        self._moves += 1
        draws = rng(self._seed, "warped noise", self._moves)
        tame = _tame(flow)
        before = np.zeros(self._bins[0] * self._bins[1], np.intp)
        before[self._bin_of(self._place)] = np.arange(self._weight.size)
        self._place += _sampled(tame, self._place)
        self._fill(tame, before, draws)
        self._thin()

    def _fill(self, flow: Array, before: Indices, draws: np.random.Generator) -> None:
        """Leave no bin empty. before: by bin, a particle that was in it in the frame before."""
        kept = self._within(self._place)
        occupied = self._occupied(kept)
        uncovered = np.flatnonzero(~occupied)
        pixels = self._places_of(uncovered)
        beyond = ~self._within(pixels - _sampled(flow, pixels))
        occupied[uncovered[beyond]] = True
        height, width = self._bins
        empty = np.flatnonzero(~occupied.reshape(height, _BIN, width, _BIN).any(axis=(1, 3)))
        centres = self._centres_of(empty)
        sources, found = _sources(flow, centres)
        found &= self._within(sources) & _inside(centres, self._canvas)
        self._keep_and_share(kept, before[self._bin_of(sources[:, found])], centres[:, found], draws)
        self._add_new(np.concatenate([pixels[:, beyond], self._places_in(empty[~found])], axis=1), draws)

    def _occupied(self, kept: Mask) -> Mask:
        """By pixel of the canvas and its margin: whether a particle lies on it."""
        elsewhere = self._bins[0] * self._bins[1] * _BIN**2
        pixel = np.where(kept, self._pixel_of(self._place), elsewhere)
        return np.bincount(pixel, minlength=elsewhere + 1)[:elsewhere] > 0

    def _keep_and_share(self, kept: Mask, parents: Indices, places: Array, draws: np.random.Generator) -> None:
        """Drop what left. Children at `places` take a share of their parents: n / sqrt(k) and a draw of sum zero."""
        shared, family, children = np.unique(parents, return_inverse=True, return_counts=True)
        members = np.concatenate([np.arange(shared.size), family])
        size = (children + 1).astype(np.float32)
        value = draws.standard_normal((self._channels, members.size), np.float32)
        value += (self._value[:, shared] / np.sqrt(size) - _sums(value, members, shared.size) / size)[:, members]
        weight = np.maximum(self._weight[shared] / size, _LEAST_WEIGHT)
        self._value[:, shared] = value[:, : shared.size]
        self._weight[shared] = weight
        if not kept.all():
            self._select(np.flatnonzero(kept))
        self._append(places, value[:, shared.size :], weight[family])

    def _thin(self) -> None:
        """Particles of a crowded bin that lie on the same pixel become one, at their centre of gravity."""
        bins = self._bin_of(self._place)
        crowded = np.bincount(bins)[bins] > _MOST_IN_A_BIN
        if not crowded.any():
            return
        pixels, group = np.unique(self._pixel_of(self._place[:, crowded]), return_inverse=True)
        weights = self._weight[crowded].astype(np.float64)
        value, weight = _merged(self._value[:, crowded], weights, group, pixels.size)
        place = _sums(self._place[:, crowded] * weights, group, pixels.size) / weight
        self._select(np.flatnonzero(~crowded))
        self._append(place.astype(np.float32), value, np.minimum(weight, _MOST_WEIGHT).astype(np.float32))

    def _add_new(self, places: Array, draws: np.random.Generator) -> None:
        count = places.shape[1]
        value = draws.standard_normal((self._channels, count), np.float32)
        self._append(places, value, np.ones(count, np.float32))

    def _append(self, place: Array, value: Array, weight: Array) -> None:
        if weight.size:
            self._place = np.concatenate([self._place, place], axis=1)
            self._value = np.concatenate([self._value, value], axis=1)
            self._weight = np.concatenate([self._weight, weight])

    def _select(self, indices: Indices) -> None:
        self._place = self._place.take(indices, axis=1)
        self._value = self._value.take(indices, axis=1)
        self._weight = self._weight[indices]

    def _within(self, place: Array) -> Mask:
        return _inside(place, self._canvas, _MARGIN)

    def _bin_of(self, place: Array) -> Indices:
        columns, rows = (_whole(place) + _MARGIN) // _BIN
        return rows * self._bins[1] + columns

    def _pixel_of(self, place: Array) -> Indices:
        columns, rows = _whole(place) + _MARGIN
        return rows * (self._bins[1] * _BIN) + columns

    def _places_in(self, bins: Indices) -> Array:
        steps = np.arange(_BIN, dtype=np.float32) - np.float32((_BIN - 1) / 2)
        offsets = np.stack(np.meshgrid(steps, steps)).reshape(2, 1, -1)
        return (self._centres_of(bins)[:, :, None] + offsets).reshape(2, -1)

    def _places_of(self, pixels: Indices) -> Array:
        rows, columns = np.divmod(pixels, self._bins[1] * _BIN)
        return np.stack([columns, rows]).astype(np.float32) - np.float32(_MARGIN)

    def _centres_of(self, bins: Indices) -> Array:
        rows, columns = np.divmod(bins, self._bins[1])
        return np.stack([columns, rows]).astype(np.float32) * _BIN + np.float32((_BIN - 1) / 2 - _MARGIN)


def _whole(place: Array) -> Indices:
    """The pixel that a place lies on."""
    return np.floor(place + np.float32(0.5)).astype(np.intp)


def _inside(place: Array, canvas: tuple[int, int], margin: int = 0) -> Mask:
    (x, y), (height, width) = place + np.float32(0.5), canvas
    return (x >= -margin) & (x < width + margin) & (y >= -margin) & (y < height + margin)


def _tame(flow: Array) -> Array:
    finite = np.nan_to_num(np.asarray(flow, np.float32), nan=_FAR, posinf=_FAR, neginf=-_FAR)
    return np.ascontiguousarray(np.clip(finite, -_FAR, _FAR))


def _sampled(flow: Array, place: Array) -> Array:
    """Shape [2, n]: the flow at places between pixels; beyond the border, that of the border."""
    count, width = place.shape[1], 1024  # a side of what OpenCV remaps has to stay below 32767
    padded = np.zeros((2, (count // width + 1) * width), np.float32)
    padded[:, :count] = place
    x, y = padded.reshape(2, -1, width)
    x, y = np.clip(x, -1, flow.shape[1]), np.clip(y, -1, flow.shape[0])
    at = cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(at.reshape(-1, 2)[:count].T, np.float32)


def _sources(flow: Array, places: Array) -> tuple[Array, Mask]:
    """Where in the frame before the flow came from that ends at `places`, and whether there is such a point."""
    source = places.copy()
    for _ in range(_SOLVER_STEPS):  # by half steps: they converge where the flow stretches by up to four
        source += (places - source - _sampled(flow, source)) / 2
    miss = places - source - _sampled(flow, source)
    return source, (np.abs(miss) <= _FOUND_PX).all(axis=0)


def _merged(
    value: Array, weight: NDArray[np.floating], group: Indices, groups: int
) -> tuple[Array, NDArray[np.float64]]:
    """The noise over an area is the sum of that over its parts: values N(0, 1) and weights by group."""
    total = np.bincount(group, weight, groups)
    summed = _sums(value * np.sqrt(weight), group, groups)
    return (summed / np.sqrt(total)).astype(np.float32), total


def _sums(value: Array, group: Indices, groups: int) -> NDArray[np.float64]:
    """Shape [channels, groups], added in the order of `value`."""
    return np.stack([np.bincount(group, channel, groups) for channel in value])
