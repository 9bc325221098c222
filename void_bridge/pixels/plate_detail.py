"""The plate's own detail in a model's picture, which is smaller and softer than the plate (decision 008).

The model's picture is compared with the plate through the model's VAE and back, so that the error of the VAE alone
counts for nothing. Three things can have happened to a pixel:

    nothing     the plate's own pixel comes back, bit for bit
    shading     a shadow gone, a reflection dimmed: the plate's detail x a smooth gain, in linear light
    other       the model's pixel is used

Decisions are made at the model's canvas from a frame and its neighbours, and are soft in space and time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.grain import Grain
from void_bridge.pixels.mattes import KEEP, OBJECT, OVERLAP, Quadmask, matte_box
from void_bridge.pixels.model_domain import largest_channel
from void_bridge.pixels.plate_grain import relight

Resize = Callable[[Array], Array]

REACH = 2
"""Frames on each side that a decision looks at."""

_SCALES = ((1.5, 0.012), (6.0, 0.006))  # blur in canvas pixels; change that counts at least, of the display range
_TIMES_FLOOR = 4.0
_CARRIED = 1.5  # tolerances of a difference that the wider scale sees: a large one must not spread
_LARGEST_TOLERANCE = 0.08
_CONTRASTS = 8  # steps of local contrast at which the model's own error is measured
_LEAST_KEEP = 512  # pixels, to measure the model's own error
_AROUND_OBJECT = 3  # canvas pixels that the VAE mixes with the object's
_TEXTURE_WINDOW = 7.0
_GAIN_BLUR = 1.5
_SLOW_EDGE = 0.06  # change of the log gain per pixel, above which a pixel hides its texture
_FAST_EDGE = (0.08, 0.14)  # change from which no gain at the canvas follows it
_TINT = (0.25, 0.45)  # of the log gain's channels against their mean
_LARGEST = (1.6, 2.1)  # log gain
_DARK = 0.03  # of the usual brightness
_GUARD = 0.02


@dataclass(frozen=True)
class ModelChange:
    """The change by a model in one frame, at the canvas.

    Attributes:
        size: shape [H, W], in tolerances: 1 is as much as the model's own error explains.
        shading: shape [H, W], in [0, 1]: how surely it is shading alone.
        log_gain: shape [H, W, 3], natural, of linear light + `dark`, so that near black it works as an offset.
        dark: linear light.
        object: shape [H, W], in [0, 1]: the object and the pixels that the VAE mixes with it.
    """

    size: Array
    shading: Array
    log_gain: Array
    dark: float
    object: Array


@dataclass(frozen=True)
class Detail:
    """The detail that a frame takes from its plate, at the canvas.

    Attributes:
        kept: shape [H, W], in [0, 1]: share of the plate's own pixel.
        shaded: shape [H, W], in [0, 1]: share of (plate + dark) x exp(log_gain) - dark.
        log_gain: shape [H, W, 3].
        dark: linear light.
    """

    kept: Array
    shaded: Array
    log_gain: Array
    dark: float


@dataclass(frozen=True)
class Restored:
    """A picture with the plate's detail.

    Attributes:
        rgb: shape [h, w, 3], linear.
        plate_share: shape [h, w], in [0, 1]: share of the plate's own detail.
    """

    rgb: Array
    plate_share: Array


def measure_change(generated: Array, reconstruction: Array, linear: Resize, quadmask: Quadmask) -> ModelChange:
    """Compare a model's picture with the plate through its VAE and back.

    Args:
        generated: the model's picture, shape [H, W, 3], in the model domain, finite, its exposure matched to the other.
        reconstruction: the plate through the VAE, of the same shape.
        linear: converts from the model domain to linear light of the working space.
        quadmask: shape [H, W], 0 object, 63 both, 127 affected, 255 keep.
    """
    reference = quadmask == KEEP
    size = change_size(generated, reconstruction, quadmask)
    light = linear(reconstruction)
    dark = max(_DARK * float(np.median(np.abs(light))), 1e-6)
    generated_log, reconstruction_log = _logarithm(linear(generated), dark), _logarithm(light, dark)
    ratio = generated_log - reconstruction_log
    log_gain = _blur(ratio, _GAIN_BLUR)
    shading = _texture_stays(
        generated_log.mean(axis=2), reconstruction_log.mean(axis=2), log_gain.mean(axis=2), reference
    )
    shading *= _plausible(log_gain)
    return ModelChange(size, _blur(shading, 1.0), log_gain, dark, _object(quadmask))


def change_size(generated: Array, reconstruction: Array, quadmask: Quadmask) -> Array:
    """Return how far two pictures are apart, in tolerances, shape [H, W]; the object's own change does not count.

    The tolerance is four times the difference that is usual at such local contrast where the quadmask says keep, and
    the model was to change nothing.

    Args:
        generated: the model's picture, shape [H, W, 3], in the model domain.
        reconstruction: the plate through the VAE, of the same shape.
        quadmask: shape [H, W].
    """
    reference, object_ = quadmask == KEEP, _object(quadmask)
    outside = 1 - object_
    share = {sigma: np.maximum(_blur(outside, sigma), np.float32(1e-3)) for sigma, _ in _SCALES}
    difference = (generated - reconstruction) * outside[..., None]
    contrast = np.sqrt(_blur(_square(reconstruction - _blur(reconstruction, 2.0)), 3.0))
    alike = _alike(contrast, reference)
    sizes = []
    for sigma, least in _SCALES:
        amount = np.sqrt(_square(_blur(difference, sigma))) / share[sigma]
        tolerance = np.clip(_TIMES_FLOOR * _usual(amount, contrast, alike), least, _LARGEST_TOLERANCE)
        sizes.append(amount / tolerance)
        limit = np.float32(_CARRIED) * tolerance[..., None]
        difference = np.clip(difference, -limit, limit)
    return np.asarray(np.maximum(*sizes), np.float32)


def _alike(contrast: Array, reference: Mask) -> List[NDArray[np.intp]]:
    """Sort the reference's pixels into groups of like contrast, ascending, as flat indices; none if too few."""
    there = np.flatnonzero(reference)
    if len(there) < _LEAST_KEEP:
        return []
    return np.array_split(there[np.argsort(contrast.ravel()[there])], _CONTRASTS)


def _usual(amount: Array, contrast: Array, alike: Sequence[NDArray[np.intp]]) -> Array:
    """Return the median amount among pixels of like contrast, shape [H, W]; beyond all contrasts, in proportion."""
    if not alike:
        return np.zeros_like(amount)
    contrasts = np.array([contrast.ravel()[part[len(part) // 2]] for part in alike])
    amounts = [np.median(amount.ravel()[part]) for part in alike]
    usual = np.interp(contrast, contrasts, np.maximum.accumulate(amounts))
    return np.asarray(usual * np.maximum(contrast / np.float32(max(contrasts[-1], 1e-6)), 1), np.float32)


def choose_detail(changes: Sequence[ModelChange], at: int) -> Detail:
    """Return the detail that frame `at` takes from its plate.

    Neighbours keep decisions from flickering with the grain. A change counts as soon as it is there.

    Args:
        changes: of the frame and up to `REACH` neighbours on each side, in order.
        at: the frame's place among them.
    """
    now = changes[at]
    size = np.maximum(now.size, _mean([c.size for c in changes]))
    shading = np.minimum(_step(now.shading, 0.1, 0.5), _mean([c.shading for c in changes]))
    free = 1 - now.object
    return Detail(free * (1 - _step(size, 1.0, 2.0)), free * shading, now.log_gain, now.dark)


def shift_change(change: ModelChange, rows: float, columns: float) -> ModelChange:
    """Shift a change by the crop's motion between two frames, in pixels of the canvas."""
    if not (round(rows) or round(columns)):
        return change
    planes = np.dstack([change.size, change.shading, change.object, change.log_gain])
    height, width = change.size.shape
    down = np.clip(np.arange(height) + round(rows), 0, height - 1)
    across = np.clip(np.arange(width) + round(columns), 0, width - 1)
    there = planes[down][:, across]
    return ModelChange(there[..., 0], there[..., 1], there[..., 3:], change.dark, there[..., 2])


def restore(plate: Array, generated: Array, detail: Detail, enlarge: Resize, grain: Grain, exposure: float) -> Restored:
    """Put the plate's detail back into the model's pixels.

    Args:
        plate: shape [h, w, 3], linear, at the plate's resolution.
        generated: the model's pixels, of the same shape.
        detail: the detail to take.
        enlarge: resamples the canvas to that resolution, shape [H, W, C] -> [h, w, C].
        grain: of the plate: pixels that are lit anew get no more grain than the plate has at that tone.
        exposure: stops.
    """
    planes = enlarge(np.dstack([detail.kept, detail.shaded, detail.log_gain]))
    assert planes.shape[:2] == plate.shape[:2] == generated.shape[:2]
    kept, shaded = _guarded(planes[..., 0]), _guarded(planes[..., 1])
    gain = np.exp(np.clip(planes[..., 2:], -_LARGEST[1], _LARGEST[1]))
    rgb = generated.astype(np.float32)
    relit_there = matte_box((shaded > 0) & (kept < 1))
    if not relit_there.empty:
        box = relit_there.slices
        lit = relight(plate[box], gain[box], detail.dark, grain, exposure)
        rgb[box] += shaded[box][..., None] * (lit - rgb[box])
    rgb += kept[..., None] * (plate - rgb)
    whole = kept >= 1
    rgb[whole] = plate[whole]
    return Restored(np.asarray(rgb, np.float32), np.asarray(kept + (1 - kept) * shaded, np.float32))


def _logarithm(light: Array, dark: float) -> Array:
    return np.asarray(np.log(np.maximum(light, 0) + np.float32(dark)), np.float32)


def _texture_stays(generated: Array, reconstruction: Array, log_gain: Array, reference: Mask) -> Array:
    """Return how surely the texture is found again in `generated`: shape [H, W], in [0, 1].

    The slope of one picture's fine detail against the other's is 1 under any shading and 0 for another thing's texture.
    All arguments have shape [H, W]; pictures are logarithms.
    """
    generated_fine, reconstruction_fine = generated - _blur(generated, 3.0), reconstruction - _blur(reconstruction, 3.0)
    edge = _slope(log_gain)
    weight = 1 / (1 + np.square(edge / np.float32(_SLOW_EDGE)))
    total = _blur(weight, _TEXTURE_WINDOW) + np.float32(1e-6)
    energy = _blur(weight * np.square(reconstruction_fine), _TEXTURE_WINDOW) / total
    slope = _blur(weight * generated_fine * reconstruction_fine, _TEXTURE_WINDOW) / total / (energy + np.float32(1e-8))
    apart = np.square(generated_fine - reconstruction_fine)
    noise = float(np.median(_blur(apart, 4.0)[reference])) if reference.sum() >= _LEAST_KEEP else 0.02**2
    visible = _step(np.sqrt(energy / np.float32(noise + 1e-8)), 0.25, 0.6)
    alike = _step(slope, 0.4, 0.7) * (1 - _step(slope, 1.5, 2.0))
    odd = np.sqrt(_blur(weight * apart, 2.0) / (np.float32(noise) + np.float32(0.3) * energy + np.float32(1e-8)))
    return np.asarray(visible * alike * (1 - _step(odd, 1.6, 2.6)) * (1 - _step(_widest(edge), *_FAST_EDGE)))


def _plausible(log_gain: Array) -> Array:
    """Return whether light could have changed so much, and so evenly in colour: shape [H, W], in [0, 1]."""
    mean = log_gain.mean(axis=2)
    tint = largest_channel(np.abs(log_gain - mean[..., None]))
    return np.asarray((1 - _step(tint, *_TINT)) * (1 - _step(largest_channel(np.abs(log_gain)), *_LARGEST)))


def _square(image: Array) -> Array:
    """Return the squared length of each pixel's vector. Shape [H, W, C] -> [H, W]."""
    return np.asarray(np.einsum("ijk,ijk->ij", image, image), np.float32)


def _slope(plane: Array) -> Array:
    down, right = np.gradient(plane)
    return np.asarray(np.hypot(down, right), np.float32)


def _widest(plane: Array) -> Array:
    return np.asarray(cv2.dilate(plane, np.ones((3, 3), np.uint8)), np.float32)


def _object(quadmask: Quadmask) -> Array:
    """Return 1 on the object and as far as the VAE mixes it with its surroundings, softly ending. Shape [H, W]."""
    solid = ((quadmask == OBJECT) | (quadmask == OVERLAP)).astype(np.uint8)
    away = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5) if solid.any() else np.full(solid.shape, 1e3, np.float32)
    return 1 - _step(away, _AROUND_OBJECT, 2 * _AROUND_OBJECT)


def _guarded(weight: Array) -> Array:
    """Round an enlarged weight to exactly 0 and 1 where it is close to that."""
    return np.asarray(np.clip(weight * np.float32(1 + 2 * _GUARD) - np.float32(_GUARD), 0, 1), np.float32)


def _mean(planes: Sequence[Array]) -> Array:
    return np.asarray(sum(planes) / np.float32(len(planes)), np.float32)


def _step(values: Array, low: float, high: float) -> Array:
    """Return 0 up to `low`, 1 from `high` on, and a smooth step between."""
    x = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _blur(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)
