"""Measures of a clean plate against a background that is known. Used by tests, `make bench` and the demo.

All of them are taken on display-encoded values (sRGB, clipped to [0, 1]), as an eye compares them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array

Mask = NDArray[np.bool_]


def display(linear: Array, exposure: float = 0.0) -> Array:
    """Encode linear values as sRGB (IEC 61966-2-1).

    Args:
        linear: of any shape.
        exposure: in stops, applied first.

    Returns:
        Values in [0, 1], to which the input is clipped. Same shape, float32.
    """
    x = np.clip(np.asarray(linear, np.float32) * np.float32(2.0**exposure), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4) - 0.055).astype(np.float32)


def psnr(result: Array, truth: Array, mask: Mask) -> float:
    """Return the peak signal-to-noise ratio inside a mask, in dB.

    Args:
        result: linear. Shape: [..., H, W, 3].
        truth: linear, same shape.
        mask: where to measure. Shape: [..., H, W].
    """
    error = (display(result) - display(truth))[mask]
    return float(-10 * np.log10(np.mean(np.square(error, dtype=np.float64)) + 1e-12))


def grain_level(picture: Array, clean: Array, mask: Mask) -> float:
    """Return the standard deviation of the fine detail that a frame has beyond a clean one; a robust estimate.

    Args:
        picture: linear. Shape: [H, W, 3].
        clean: the same without grain, same shape.
        mask: where to measure. Shape: [H, W].

    Returns:
        The deviation of the detail that a Gaussian of 2 pixels takes away; 0 if the mask is empty.
    """
    residual = display(picture) - display(clean)
    fine = residual - cv2.GaussianBlur(residual, (0, 0), 2.0)
    return float(1.4826 * np.median(np.abs(fine[mask]))) if mask.any() else 0.0


def grain_ratio(result: Array, clean: Array, inside: Mask, outside: Mask) -> float:
    """Return grain inside over grain outside of one result; 1 is a perfect match. Shapes as in `grain_level`."""
    return grain_level(result, clean, inside) / max(grain_level(result, clean, outside), 1e-9)


def flicker(result: Array, to_world: NDArray[np.float64], mask: Mask) -> float:
    """Return the temporal standard deviation along the true motion.

    Each frame is laid over the one before. Half the mean squared difference is a variance, where both are in the mask.

    Args:
        result: linear. Shape: [T, H, W, 3].
        to_world: (x, y, 1) of a frame to the world's. Shape: [T, 3, 3].
        mask: where to measure. Shape: [T, H, W].
    """
    size = (result.shape[2], result.shape[1])
    total, count = 0.0, 0
    current = display(result[0])
    for i in range(len(result) - 1):
        following = display(result[i + 1])
        step = np.linalg.inv(to_world[i + 1]) @ to_world[i]
        if np.allclose(step, np.eye(3), atol=1e-9):
            moved, both = following, mask[i] & mask[i + 1]
        else:
            inverse = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
            moved = cv2.warpPerspective(following, step, size, flags=inverse)
            kept = cv2.warpPerspective(mask[i + 1].astype(np.float32), step, size, flags=cv2.WARP_INVERSE_MAP)
            both = mask[i] & (kept > 0.99)
        difference = (moved - current)[both]
        total += 0.5 * float(np.sum(np.square(difference, dtype=np.float64)))
        count += difference.size
        current = following
    return float(np.sqrt(total / max(1, count)))


def flicker_ratio(result: Array, to_world: NDArray[np.float64], mask: Mask) -> float:
    """Return flicker inside a mask over flicker outside it. Shapes as in `flicker`."""
    return flicker(result, to_world, mask) / max(flicker(result, to_world, ~mask), 1e-9)


def display_u8(linear: Array) -> NDArray[np.uint8]:
    """Encode a linear picture of any shape as 8-bit sRGB."""
    return np.rint(display(linear) * 255).astype(np.uint8)


def inpainted(plate: Array, hole: Mask) -> Array:
    """Inpaint one frame with OpenCV (Telea, radius 3), the baseline of our measurements.

    Args:
        plate: linear. Shape: [H, W, 3].
        hole: pixels to be replaced. Shape: [H, W].
    """
    filled = cv2.inpaint(display_u8(plate), hole.astype(np.uint8), 3, cv2.INPAINT_TELEA) / np.float32(255)
    linear = np.where(filled <= 0.04045, filled / 12.92, np.power((filled + 0.055) / 1.055, 2.4))
    return np.where(hole[..., None], linear, plate).astype(np.float32)
