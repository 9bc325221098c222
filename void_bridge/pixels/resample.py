"""Images made smaller and larger without moving anything in them.

Both ends of an image stay where they are, and a linear ramp stays that ramp: shrinking averages the pixels under each
new one, with their shares tilted so that their centre of mass is its centre; enlarging interpolates with Catmull-Rom
splines (Keys, "Cubic convolution interpolation for digital image processing", 1981, a = -1/2). Where the size stays, so
does every bit. The result depends on nothing but the image: not on threads, not on a library's choice of kernel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box

Taps = List[Tuple[NDArray[np.intp], Array]]


def resample(image: Array, height: int, width: int, box: Optional[Box] = None) -> Array:
    """Resize an image, each axis on its own.

    Args:
        image: shape [h, w] or [h, w, C].
        height: rows of the result.
        width: columns of the result.
        box: rows and columns of the result to return; the same bits as cut out of all of it. None: all.

    Returns:
        Shape [height, width] or [height, width, C].
    """
    box = box or Box(0, 0, height, width)
    planes = np.asarray(image, np.float32).reshape(*image.shape[:2], -1)
    rows, columns = box.slices
    if height < planes.shape[0]:  # the smaller of the two goes through the transposition
        planes = _across(_down(planes, height, rows), width, columns)
    else:
        planes = _down(_across(planes, width, columns), height, rows)
    return planes.reshape(*box.shape, *image.shape[2:])


def _across(planes: Array, width: int, wanted: slice) -> Array:
    if width == planes.shape[1]:
        return planes[:, wanted]
    return np.ascontiguousarray(_down(planes.transpose(1, 0, 2), width, wanted).transpose(1, 0, 2))


def _down(planes: Array, height: int, wanted: slice) -> Array:
    """Resample rows: shape [h, w, C] -> [the wanted rows of `height`, w, C]."""
    if height == planes.shape[0]:
        return np.ascontiguousarray(planes[wanted])
    taps = _taps(planes.shape[0], height)[wanted]
    rows = np.ascontiguousarray(planes).reshape(planes.shape[0], -1)
    result = np.empty((len(taps), rows.shape[1]), np.float32)
    product = np.empty(rows.shape[1], np.float32)
    for target, (sources, shares) in zip(result, taps):
        np.multiply(rows[sources[0]], shares[0], out=target)
        for source, share in zip(sources[1:], shares[1:]):
            np.add(target, np.multiply(rows[source], share, out=product), out=target)
    return result.reshape(len(taps), *planes.shape[1:])


@lru_cache(maxsize=16)
def _taps(size: int, new_size: int) -> Taps:
    """Return the source pixels of each new pixel, and their shares, which sum to 1."""
    scale = size / new_size
    taps = []
    for index in range(new_size):
        centre = (index + 0.5) * scale
        positions, shares = _averaged(centre, scale) if scale > 1 else _interpolated(centre)
        sources, share_of = np.unique(np.clip(positions, 0, size - 1), return_inverse=True)
        summed = np.bincount(share_of, shares)
        used = summed != 0
        taps.append((sources[used], (summed[used] / summed.sum()).astype(np.float32)))
    return taps


def _averaged(centre: float, scale: float) -> Tuple[NDArray[np.intp], NDArray[np.float64]]:
    low, high = centre - scale / 2, centre + scale / 2
    positions = np.arange(int(np.floor(low + 1e-9)), int(np.ceil(high - 1e-9)))
    shares = (np.minimum(positions + 1, high) - np.maximum(positions, low)) / scale
    offsets = positions + 0.5 - centre
    mean = float(shares @ offsets)
    spread = float(shares @ offsets**2) - mean**2
    if abs(mean) > 1e-9:
        shares = shares * (1 - mean / spread * (offsets - mean))
    return positions, shares


def _interpolated(centre: float) -> Tuple[NDArray[np.intp], NDArray[np.float64]]:
    first = int(np.floor(centre - 0.5)) - 1
    positions = np.arange(first, first + 4)
    x = np.abs(positions + 0.5 - centre)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    shares = np.where(x <= 1, near, far)
    return positions, np.where(np.abs(shares) < 1e-12, 0, shares)
