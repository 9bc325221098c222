"""Types of pixel arrays, and samples of a shot."""

from typing import List

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Linear or encoded values, of any shape."""

Mask = NDArray[np.bool_]
"""Pixels that are set, shape [H, W]."""

Picture = NDArray[np.uint8]
"""A display-encoded RGB picture, shape [H, W, 3]."""


def spread_indices(count: int, samples: int) -> List[int]:
    """Return at most `samples` indices, spread evenly over `count` frames.

    >>> spread_indices(9, 3)
    [0, 4, 8]
    """
    return [int(index) for index in np.unique(np.linspace(0, count - 1, samples).round().astype(int))]
