"""Changes by a model that the paste matte cuts off, such as half of a shadow: they are measured and reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

import cv2
import numpy as np

from void_bridge.frames import FrameRange
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import matte_box
from void_bridge.pixels.plate_detail import ModelChange

NOTABLE_SHARE = 0.03

_SIGNIFICANT = 2.0  # tolerances
_LARGEST = 10.0  # tolerances; larger changes count the same
_MARGIN = 4.0  # canvas pixels beyond the matte, which the VAE mixes
_SMALLEST = 5  # canvas pixels across; less is noise


@dataclass(frozen=True)
class CutOff:
    """The part of a model's change in one frame that is not pasted.

    Attributes:
        share: share of the change, the object aside, in [0, 1].
        box: the box around it, in canvas pixels.
    """

    share: float
    box: Box


def find_cut_off(change: ModelChange, paste: Array) -> CutOff:
    """Measure how much of the change in one frame the paste matte cuts off.

    Args:
        change: the model's change.
        paste: shape [H, W], at the canvas, in [0, 1].
    """
    significant = (change.size > _SIGNIFICANT).astype(np.uint8)
    changed = cv2.morphologyEx(significant, cv2.MORPH_OPEN, np.ones((_SMALLEST, _SMALLEST), np.uint8))
    amount = np.minimum(change.size, _LARGEST) * changed * (1 - change.object)
    beyond = np.full(paste.shape, True)
    if (paste > 0).any():
        beyond = cv2.distanceTransform((paste <= 0).astype(np.uint8), cv2.DIST_L2, 5) > _MARGIN
    lost = amount * beyond
    return CutOff(float(lost.sum() / max(float(amount.sum()), 1e-9)), matte_box(lost))


def cut_off_warning(cuts: Mapping[int, CutOff]) -> Optional[str]:
    """Return a line for the job's report, or None if nothing notable was cut off.

    Args:
        cuts: by frame, with boxes in pixels of the plate.
    """
    notable = {frame: cut for frame, cut in cuts.items() if cut.share >= NOTABLE_SHARE and not cut.box.empty}
    if len(notable) == 1 < len(cuts):  # a model's slip: real changes last for several frames
        return None
    if not notable:
        return None
    worst = max(notable, key=lambda frame: notable[frame].share)
    box, share = notable[worst].box, notable[worst].share
    return (
        f"the model also changed pixels outside the mattes, not pasted: frames {FrameRange(notable)}; most in "
        f"{worst}, {share:.0%} of the change outside the object, x {box.x0}-{box.x1}, y {box.y0}-{box.y1}; "
        "extend the affected matte there"
    )
