"""Compositing: new pixels into the plate inside the paste matte, in linear light; all other pixels stay bit for bit."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.mattes import matte_box

PASTE_CHANNEL = "void_bridge.paste"
CONFIDENCE_CHANNEL = "void_bridge.confidence"
FULL_FILL_LAYER = "void_bridge_fill"
"""Names in result frames: the channel of the paste matte, that of the confidence, the layer of the unmasked fill."""

Stored = TypeVar("Stored", bound=np.generic)


def paste(plate: NDArray[Stored], patch: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Stored]:
    """Mix a patch into one channel of the plate.

    Args:
        plate: shape [H, W] as stored: half, float or uint. It is not changed.
        patch: shape [H, W], linear, finite.
        weight: shape [H, W], in [0, 1].

    Returns:
        Shape [H, W], of the plate's type. Where the weight is 0, the stored bits (NaN and -0.0 included); where it is 1
        or
        the plate is not finite, the patch; between, a linear mix. Values beyond the plate's type are clipped to its
        largest.
        If the weight is 0 everywhere, the plate itself.
    """
    assert plate.shape == patch.shape == weight.shape, f"{plate.shape}, {patch.shape} and {weight.shape} differ"
    box = matte_box(weight)
    if box.empty:
        return plate
    result: NDArray[Stored] = plate.copy()
    paste_into(result[box.slices], patch[box.slices], weight[box.slices])
    return result


def paste_into(plate: NDArray[Stored], patch: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Mix a patch into one channel of the plate in place; see `paste`."""
    np.copyto(plate, _as_stored(_mixed(plate, patch, weight), plate.dtype), where=weight > 0)


def to_half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to the nearest half as numpy does, but with the processor's own instruction. Shape [H, W]."""
    return np.asarray(cv2.add(np.ascontiguousarray(values), np.zeros(4), dtype=cv2.CV_16F), np.float16)


def _mixed(plate: NDArray[Any], patch: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Any]:
    soft = (weight > 0) & (weight < 1)
    if not soft.any():
        return patch
    wide = np.float64 if np.issubdtype(plate.dtype, np.integer) else np.float32
    mixed = patch.astype(wide)
    soft &= np.isfinite(plate)
    share = weight[soft]
    mixed[soft] = mixed[soft] * share + plate[soft].astype(wide) * (1 - share)
    return mixed


def _as_stored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)
    clipped = np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max)
    return to_half(clipped) if dtype == np.float16 else clipped.astype(dtype)
