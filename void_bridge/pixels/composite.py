"""New pixels into the plate: inside the paste matte alone, in linear light, everything else bit for bit."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.mattes import matte_box

Stored = TypeVar("Stored", bound=np.generic)


def paste(plate: NDArray[Stored], patch: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Stored]:
    """One channel of the plate with the patch mixed in.

    Args:
        plate: shape [H, W] as stored: half, float or uint. It stays as it is.
        patch: shape [H, W], linear, finite.
        weight: shape [H, W], in [0, 1].

    Returns:
        Shape [H, W], of the plate's type. Where the weight is 0 the stored bits (NaN and -0.0 included);
        where it is 1, or the plate isn't finite, the patch; a linear mix between. What the plate's type
        cannot hold is clipped to its largest value. Without any weight, the plate itself.
    """
    assert plate.shape == patch.shape == weight.shape, f"{plate.shape}, {patch.shape} and {weight.shape} differ"
    box = matte_box(weight)
    if box.empty:
        return plate
    result: NDArray[Stored] = plate.copy()
    window = result[box.slices]
    cut_weight = weight[box.slices]
    mixed = _mixed(window, patch[box.slices], cut_weight)
    np.copyto(window, _as_stored(mixed, plate.dtype), where=cut_weight > 0)
    return result


def _mixed(plate: NDArray[Any], patch: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Any]:
    wide = np.float64 if np.issubdtype(plate.dtype, np.integer) else np.float32
    mixed = patch.astype(wide)
    soft = (weight > 0) & (weight < 1) & np.isfinite(plate)
    if soft.any():
        share = weight[soft]
        mixed[soft] = mixed[soft] * share + plate[soft].astype(wide) * (1 - share)
    return mixed


def _as_stored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if np.issubdtype(dtype, np.integer):
        lowest, largest = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = np.rint(values)
    else:
        lowest, largest = np.finfo(dtype).min, np.finfo(dtype).max
    stored: NDArray[Any] = np.clip(values, lowest, largest).astype(dtype)
    return stored
