"""Mattes over a raster, the paste matte that is made of them, and the values of a quadmask.

A *raster* is a box in EXR pixel coordinates that every plane of a shot is laid over: the union of the plate's data
windows. Windows that are smaller than it or offset from it thus fall into place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.errors import SizeMismatch
from void_bridge.job import MatteRole
from void_bridge.pixels.arrays import Mask
from void_bridge.pixels.box import Box

Plane = NDArray[np.float32]
PlaneRole = Literal["paste", MatteRole]
Quadmask = NDArray[np.uint8]

OBJECT, OVERLAP, AFFECTED, KEEP = 0, 63, 127, 255
"""The four values of a quadmask."""

PRESENT = 0.01
"""Value above which a matte counts for pasting; within this of 1, `keep` counts as whole."""


@dataclass(frozen=True)
class MattePlanes:
    """The mattes of one frame. Each plane has shape [H, W], in [0, 1]; None stands for all 0."""

    shape: Tuple[int, int]
    remove: Optional[Plane] = None
    affected: Optional[Plane] = None
    keep: Optional[Plane] = None
    exclude: Optional[Plane] = None

    def __post_init__(self) -> None:
        for plane in (self.remove, self.affected, self.keep, self.exclude):
            assert plane is None or plane.shape == self.shape, f"a plane of {plane.shape} in a raster of {self.shape}"

    def plane(self, role: MatteRole) -> Plane:
        """Return the matte of a role, or zeros."""
        plane: Optional[Plane] = getattr(self, role)
        return np.zeros(self.shape, np.float32) if plane is None else plane


def check_same_format(plate_name: str, plate_display: Box, matte_name: str, matte_display: Box) -> None:
    """Raise unless both display windows are the same; data windows may differ.

    Raises:
        SizeMismatch: they differ.
    """
    if plate_display != matte_display:
        raise SizeMismatch(
            f"{matte_name} is {_format(matte_display)}, but {plate_name} is {_format(plate_display)}; "
            "reformat the matte to the plate's format (its data window may stay smaller) and write it again"
        )


def _format(display: Box) -> str:
    size = f"{display.width}x{display.height}"
    return size if (display.x0, display.y0) == (0, 0) else f"{size} at {display.x0},{display.y0}"


def plane_over(channel: NDArray[np.generic], data_window: Box, raster: Box, invert: bool = False) -> Plane:
    """Lay one channel of a matte over the raster.

    Args:
        channel: shape [h, w] of `data_window`; half, float or uint. An integer counts as present from 1 on.
        data_window: the channel's window.
        raster: the raster.
        invert: whether to swap inside and outside, also beyond the data window.

    Returns:
        Shape [H, W] of `raster`, in [0, 1]. Outside the data window and where the channel is NaN the matte is 0 before
        it is
        inverted.
    """
    assert channel.shape == data_window.shape, f"a channel of {channel.shape} in a window of {data_window.shape}"
    plane = np.zeros(raster.shape, np.float32)
    # Most of a matte is 0: only the rest is copied.
    present = matte_box(_bits(channel)).moved(data_window.y0, data_window.x0) & raster
    if not present.empty:
        window = plane[present.relative_to(raster).slices]
        window[...] = channel[present.relative_to(data_window).slices]
        window[np.isnan(window)] = 0
        np.clip(window, 0, 1, out=window)
    return np.subtract(1, plane, out=plane) if invert else plane


def planes_from_quadmask(
    channel: NDArray[np.generic], data_window: Box, raster: Box, invert: bool = False
) -> MattePlanes:
    """Return remove and affected from a quadmask made by another program, as numbers up to 255 or up to 1.

    Integers are always up to 255; other frames are if any value exceeds 2. Drift of a codec is tolerated (see
    `requantise`). Outside the data window, and where it is NaN, is keep.

    Args:
        channel: shape [h, w] of `data_window`.
        data_window: the channel's window.
        raster: the raster.
        invert: whether the values are inverted.
    """
    assert channel.shape == data_window.shape, f"a channel of {channel.shape} in a window of {data_window.shape}"
    laid = np.full(raster.shape, np.nan, np.float32)
    common = data_window & raster
    if not common.empty:
        laid[common.relative_to(raster).slices] = channel[common.relative_to(data_window).slices]
    if not np.issubdtype(channel.dtype, np.integer) and not np.any(laid > 2):
        laid *= 255
    values = requantise(255 - laid if invert else laid)
    return MattePlanes(
        shape=raster.shape,
        remove=(values <= OVERLAP).astype(np.float32),
        affected=((values >= OVERLAP) & (values <= AFFECTED)).astype(np.float32),
    )


def requantise(values: NDArray[np.generic]) -> Quadmask:
    """Return the four levels from values up to 255 that a codec or a filter has moved; NaN becomes keep.

    The limits (31, 95, 191) are those of the VOID reference, https://github.com/Netflix/void-model.
    """
    result = np.full(values.shape, KEEP, np.uint8)
    for limit, level in ((191.5, AFFECTED), (95.5, OVERLAP), (31.5, OBJECT)):
        result[values < limit] = level  # type: ignore[operator]
    return result


def _bits(channel: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.ascontiguousarray(channel).view(f"u{channel.dtype.itemsize}")


def paste_area(planes: MattePlanes, snapped: Optional[Mask] = None) -> Mask:
    """Return where remove or affected is present, or `snapped` is set, and keep is not whole. Shape [H, W]."""
    area = np.zeros(planes.shape, np.bool_) if snapped is None else snapped.copy()
    for plane in (planes.remove, planes.affected):
        if plane is not None:
            area |= plane > PRESENT
    if planes.keep is not None:
        area &= planes.keep < 1 - PRESENT
    return area


def paste_matte(planes: MattePlanes, dilate: int = 0, feather: int = 0, snapped: Optional[Mask] = None) -> Plane:
    """Return how much of the new pixels shows: 1 over the paste area, so that blurred edges go whole, less keep.

    Args:
        planes: the mattes.
        dilate: pixels by which the area grows at full weight, by Euclidean distance.
        feather: further pixels over which it fades; nothing changes farther away.
        snapped: shape [H, W]; an area that joins the drawn one (`--paste snapped`).

    Returns:
        Shape [H, W], in [0, 1], at half precision, so that the channel `void_bridge.paste` holds it exactly. Exactly 0
        where
        keep is whole, also after the area has grown.
    """
    weight = grow_area(paste_area(planes, snapped), dilate, feather)
    box = matte_box(weight)
    if planes.keep is not None and not box.empty:
        weight[box.slices] = (weight[box.slices] * _let_through(planes.keep[box.slices])).astype(np.float16)
    return weight


def _let_through(keep: Plane) -> Plane:
    """Return 1 - keep; traces at both ends count as nothing and as all."""
    passed = 1 - keep
    passed[keep >= 1 - PRESENT] = 0
    passed[keep <= PRESENT] = 1
    return passed


def grow_area(area: Mask, dilate: int, feather: int = 0) -> Plane:
    """Return 1 over the area and `dilate` pixels around it (Euclidean), fading over `feather` more. Shape [H, W]."""
    if dilate == feather == 0:
        return area.astype(np.float32)
    weight = np.zeros(area.shape, np.float32)
    held = matte_box(area)
    if held.empty:
        return weight
    box = held.grown(dilate + feather) & Box(0, 0, *area.shape)
    # OpenCV measures the distance to the nearest zero.
    outside = np.ascontiguousarray(~area[box.slices]).view(np.uint8)
    distance = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
    weight[box.slices] = _falloff(distance, dilate, feather).astype(np.float16)
    return weight


def _falloff(distance: Plane, dilate: int, feather: int) -> Plane:
    """Return 1 up to `dilate`, then a smooth step (3t^2 - 2t^3) to 0 half a pixel behind `dilate + feather`."""
    falloff = (distance <= dilate).astype(np.float32)
    fading = (distance > dilate) & (distance <= dilate + feather)
    t = (dilate + feather + 0.5 - distance[fading]) / (feather + 0.5)
    falloff[fading] = t * t * (3 - 2 * t)
    return falloff


def matte_box(matte: NDArray[np.generic]) -> Box:
    """Return the smallest box around everything that is not 0, or an empty box. Shape [H, W]."""
    present = np.ascontiguousarray(matte != 0).view(np.uint8)
    x, y, width, height = cv2.boundingRect(present)
    return Box(y, x, y + height, x + width)
