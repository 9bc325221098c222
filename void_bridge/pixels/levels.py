"""The four values of a quadmask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OBJECT, OVERLAP, AFFECTED, KEEP = 0, 63, 127, 255

Quadmask = NDArray[np.uint8]


def requantise(values: NDArray[np.generic]) -> Quadmask:
    """The four levels from values up to 255 that a codec or a filter has moved; NaN is keep.

    The limits (31, 95, 191) are those of the VOID reference, https://github.com/Netflix/void-model.
    """
    result = np.full(values.shape, KEEP, np.uint8)
    for limit, level in ((191.5, AFFECTED), (95.5, OVERLAP), (31.5, OBJECT)):
        result[values < limit] = level  # type: ignore[operator]
    return result
