"""The quadmask at the model's frame: it conditions the model, and nothing else.

The model was trained with object masks that are exact to the pixel and with affected areas made of cells of a coarse
grid (the VOID reference, https://github.com/Netflix/void-model).
"""

from __future__ import annotations

from typing import Collection, Optional, Sequence, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Mask
from void_bridge.pixels.framing import Framing
from void_bridge.pixels.mattes import (
    AFFECTED,
    KEEP,
    OBJECT,
    OVERLAP,
    MattePlanes,
    Plane,
    Quadmask,
    grow_area,
)

_CELLS_ON_THE_SHORT_SIDE = 8
_TOUCHED = 5e-4  # a plate's pixel covers more of a canvas pixel than this, up to a scale of 40


def make_quadmask(
    planes: MattePlanes,
    framing: Framing,
    threshold: float = 0.5,
    dilate: int = 0,
    clear_affected: bool = False,
    from_quadmask: bool = False,
) -> Quadmask:
    """Return the quadmask of one frame, shape of the canvas: 0 object, 63 both, 127 affected, 255 keep.

    A canvas pixel is object where half of it or more is. Thinner parts with no such pixel nearby stay as well, a pixel
    wide, so that wires do not vanish. Keep is decided alike and wins.

    Args:
        planes: mattes over `framing.raster`.
        framing: the crop that the model sees.
        threshold: value from which on a matte counts.
        dilate: pixels of the plate by which remove grows first.
        clear_affected: for the pre-roll frame, which has no affected area, as in training.
        from_quadmask: whether the planes come from a quadmask that is already on a grid: an affected rim of one pixel
            is then rounding, or the soft edge of an object, and touches no cell.
    """
    cut = framing.inside.relative_to(framing.raster).slices
    keep = _present(planes.keep, cut, threshold)
    remove = _present(planes.remove, cut, threshold)
    affected = None if clear_affected else _present(planes.affected, cut, threshold)
    quadmask = np.full(framing.canvas, KEEP, np.uint8)
    if affected is not None:
        affected = _narrowed(affected) if from_quadmask else affected
        quadmask[_snapped(_without(affected, keep), framing)] = AFFECTED
    if remove is not None:
        remove = grow_area(remove, dilate) > 0 if dilate else remove
        objects = _covered(_without(remove, keep), framing)
        quadmask[objects] = np.where(quadmask[objects] == AFFECTED, OVERLAP, OBJECT)
    if keep is not None:
        quadmask[_covered(keep, framing)] = KEEP
    return quadmask


def _present(plane: Optional[Plane], cut: Tuple[slice, slice], threshold: float) -> Optional[Mask]:
    return None if plane is None else plane[cut] >= threshold


def _without(area: Mask, keep: Optional[Mask]) -> Mask:
    return area if keep is None else area & ~keep


def _covered(area: Mask, framing: Framing) -> Mask:
    share = framing.to_canvas(area.astype(np.float32))
    solid, touched = share >= 0.5, share > _TOUCHED
    thin = touched & ~_widened(solid)
    return solid | (_widened(thin) & touched)


def _widened(area: Mask) -> Mask:
    return np.asarray(cv2.dilate(area.view(np.uint8), np.ones((3, 3), np.uint8)), np.bool_)


def _narrowed(area: Mask) -> Mask:
    return np.asarray(cv2.erode(area.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=1), np.bool_)


def grid_shape(canvas: Tuple[int, int]) -> Tuple[int, int]:
    """Return rows and columns of the training grid: 8 cells on the short side, 8 x aspect, rounded, on the long.

    >>> grid_shape((384, 672))
    (8, 14)
    """
    short = min(canvas)
    rows, columns = (round(_CELLS_ON_THE_SHORT_SIDE * side / short) for side in canvas)
    return rows, columns


def _snapped(area: Mask, framing: Framing) -> Mask:
    """Return every cell of the grid, over the canvas, in which a pixel of the plate begins and is set."""
    rows, columns = grid_shape(framing.canvas)
    crop = framing.padded(area.view(np.uint8))
    touched = np.maximum.reduceat(crop, _edges(crop.shape[0], rows)[:-1], axis=0)
    touched = np.maximum.reduceat(touched, _edges(crop.shape[1], columns)[:-1], axis=1)
    filled = touched.repeat(np.diff(_edges(framing.canvas[0], rows)), axis=0)
    return filled.repeat(np.diff(_edges(framing.canvas[1], columns)), axis=1) > 0


def _edges(size: int, cells: int) -> NDArray[np.intp]:
    return np.arange(cells + 1) * size // cells


def snapped_area(quadmask: Quadmask, framing: Framing) -> Mask:
    """Return where the quadmask is not keep, shape of `framing.raster`: `--paste snapped` may change it."""
    canvas_rows, canvas_columns = (
        (2 * np.arange(size) + 1) * canvas // (2 * size) for size, canvas in zip(framing.crop.shape, framing.canvas)
    )
    crop = (quadmask != KEEP)[canvas_rows][:, canvas_columns]
    area = np.zeros(framing.raster.shape, np.bool_)
    inside = framing.inside
    area[inside.relative_to(framing.raster).slices] = crop[inside.relative_to(framing.crop).slices]
    return area


def preroll_plan(frames: Sequence[int], delivered: Collection[int]) -> Tuple[int, ...]:
    """Return the conditioning sequence of a shot, as indices into `frames`; the first is the pre-roll.

    Affected is cleared on the pre-roll, and the model's picture of it is dropped. It is the first head handle; without
    one, the first frame, held: that frame then comes twice.

    >>> preroll_plan([1000, 1001, 1002], delivered=[1001, 1002])
    (0, 1, 2)
    >>> preroll_plan([1001, 1002], delivered=[1001, 1002])
    (0, 0, 1)
    """
    everything = range(len(frames))
    return (0, *everything) if frames[0] in delivered else tuple(everything)
