"""What a model changed where the paste matte lets nothing through: half a shadow left is worth a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.frames import FrameRange
from void_bridge.pixels.box import Box
from void_bridge.pixels.levels import Quadmask
from void_bridge.pixels.mattes import matte_box
from void_bridge.pixels.plate_detail import change_size

Array = NDArray[np.float32]

NOTABLE_SHARE = 0.03

_SIGNIFICANT = 2.0  # tolerances
_MARGIN = 4.0  # canvas pixels beyond the matte that the VAE mixes
_SMALLEST = 5  # canvas pixels across; less is noise


@dataclass(frozen=True)
class CutOff:
    """share: of the model's whole change in a frame, in [0, 1]. box: around what was cut off, in canvas pixels."""

    share: float
    box: Box


def cut_off_share(made: Array, trip: Array, paste: Array, quadmask: Quadmask) -> CutOff:
    """What the paste matte cut off of the change in one frame.

    Args:
        made, trip: shape [H, W, 3], in the model domain, `made` with its exposure matched to `trip`.
        paste: shape [H, W], the paste matte at the canvas, in [0, 1].
        quadmask: shape [H, W].
    """
    significant = (change_size(made, trip, quadmask) > _SIGNIFICANT).astype(np.uint8)
    changed = cv2.morphologyEx(significant, cv2.MORPH_OPEN, np.ones((_SMALLEST, _SMALLEST), np.uint8))
    beyond = np.full(paste.shape, True)
    if (paste > 0).any():
        beyond = cv2.distanceTransform((paste <= 0).astype(np.uint8), cv2.DIST_L2, 5) > _MARGIN
    amount = np.abs(made - trip).sum(axis=2) * ((changed > 0) | ~beyond)
    lost = amount * beyond
    return CutOff(float(lost.sum() / max(float(amount.sum()), 1e-9)), matte_box(lost))


def cut_off_warning(cuts: Mapping[int, CutOff]) -> Optional[str]:
    """A line for the job's report; None where nothing notable was cut off.

    cuts: by frame, with boxes in pixels of the plate.
    """
    notable = {frame: cut for frame, cut in cuts.items() if cut.share >= NOTABLE_SHARE and not cut.box.empty}
    if not notable:
        return None
    worst = max(notable, key=lambda frame: notable[frame].share)
    box, share = notable[worst].box, notable[worst].share
    return (
        f"the model changed things beyond the mattes, which are not pasted: frames {FrameRange(notable)}; most in "
        f"{worst}, {share:.0%} of its change, x {box.x0}-{box.x1}, y {box.y0}-{box.y1}; draw affected there"
    )
