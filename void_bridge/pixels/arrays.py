"""Types of pixel arrays."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Linear or encoded values, of any shape."""

Mask = NDArray[np.bool_]
"""Pixels that are set, shape [H, W]."""

Picture = NDArray[np.uint8]
"""A display-encoded RGB picture, shape [H, W, 3]."""
