"""The model's own error in highlights, which the way back to linear light makes many times as large.

The curve that fits highlights into the model's range gives a stop above diffuse white 0.017 of the range
(`model_domain.SrgbRolloff`). An error of 0.005, unseen elsewhere, is a fifth of a stop there: blotches in a sky.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_FROM, _FULLY = 0.78, 0.9  # of the model domain: 0.57 and 0.98 in linear light at a normal exposure
_SPACE = 2.5  # canvas pixels
_TIMES_ERROR = 6.0  # summed difference of three channels that is still taken for error
_LEAST_ERROR, _LARGEST_ERROR = 0.001, 0.012


def denoise_highlights(made: Array, reconstruction: Array, untouched: Mask) -> Array:
    """The model's picture with what can only be its error smoothed out of highlights; edges stay. Shape [H, W, 3].

    Args:
        made, reconstruction: shape [H, W, 3], in the model domain: its picture, and the plate through its VAE.
        untouched: shape [H, W]: where the two would be the same without that error.
    """
    weight = np.clip((made - np.float32(_FROM)) / np.float32(_FULLY - _FROM), 0, 1)
    if not (untouched.any() and weight.any()):
        return made
    usual = float(np.median(np.abs(made - reconstruction)[untouched]))
    error = min(max(usual, _LEAST_ERROR), _LARGEST_ERROR)
    smooth = cv2.bilateralFilter(made, -1, _TIMES_ERROR * error, _SPACE, borderType=cv2.BORDER_REFLECT)
    return np.asarray(made + weight * (smooth - made), np.float32)
