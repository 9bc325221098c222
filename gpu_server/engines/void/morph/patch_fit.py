"""Small square patches of a picture, laid onto another picture by an affine map each, all of them at once.

The fit takes inverse-compositional Gauss-Newton steps (S. Baker and I. Matthews, 2004) on patches without their own
mean and contrast, so that a change of light is no motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask

_PICTURE_ERROR = 0.02  # contrast of what is expected to differ: a fainter patch keeps to its prediction
_RELUCTANCE = np.array([0.02, 0.02, 0.05, 0.05, 0.05, 0.05], np.float32)  # against shift, scale, turn, two stretches
_LONGEST_STEP = 0.4  # of half a patch
_SETTLED = 0.02  # samples: a step this short changes nothing any more


@dataclass(frozen=True)
class ImageCrop:
    """A part of one channel of a frame: shape [H, W]; left, top: where it lies in the frame, in pixels."""

    image: Array
    left: int
    top: int


@dataclass(frozen=True)
class PatchPoses:
    """Where N patches lie. place: shape [N, 2], their middles, x and y; turn: shape [N, 2, 2], own axes to pixels."""

    place: Array
    turn: Array

    def where(self, keep: Mask, other: PatchPoses) -> PatchPoses:
        """These where `keep`, else the other ones."""
        place = np.where(keep[:, None], self.place, other.place)
        return PatchPoses(place, np.where(keep[:, None, None], self.turn, other.turn))


@dataclass(frozen=True)
class PatchGrid:
    """What a patch looks at. offsets: shape [K, 2], samples a side times as many, from the middle, in samples.

    unit: pixels a sample; weight: shape [N, K], adds up to 1 for each patch.
    """

    offsets: Array
    unit: float
    weight: Array

    @property
    def side(self) -> int:
        return round(np.sqrt(len(self.offsets)))

    @property
    def half(self) -> float:
        return (self.side - 1) / 2

    def seen(self, window: ImageCrop, poses: PatchPoses) -> tuple[Array, Array]:
        """The patches at their places, shape [N, K], without mean and contrast; and that contrast, shape [N]."""
        at = poses.place[:, None] + (self.unit * self.offsets) @ np.swapaxes(poses.turn, 1, 2)
        at = (at - np.float32([window.left, window.top])).astype(np.float32)
        values = cv2.remap(window.image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values = values - np.einsum("nk,nk->n", values, self.weight)[:, None]
        contrast = np.sqrt(np.einsum("nk,nk,nk->n", values, values, self.weight))
        return values / (contrast[:, None] + np.float32(1e-6)), contrast


@dataclass(frozen=True)
class PatchTemplate:
    """What patches should look like. solve: shape [N, 6, K], from what differs to a step of their motion."""

    shape: PatchGrid
    values: Array
    contrast: Array
    solve: Array

    def likeness(self, window: ImageCrop, poses: PatchPoses) -> Array:
        """Correlation of each patch, shape [N]."""
        values, _ = self.shape.seen(window, poses)
        return np.einsum("nk,nk,nk->n", values, self.values, self.shape.weight)

    def fit(self, window: ImageCrop, poses: PatchPoses, rounds: int) -> tuple[PatchPoses, Array]:
        """The poses near the given ones at which the patches look most alike, and how alike they look there."""
        for _ in range(rounds):
            values, _ = self.shape.seen(window, poses)
            step = (self.solve @ (values - self.values)[..., None])[..., 0]
            size = np.abs(step).max(axis=1, keepdims=True)
            poses = self._without(poses, step * np.minimum(1, _LONGEST_STEP * self.shape.half / (size + 1e-6)))
            if float(size.max()) < _SETTLED:
                break
        return poses, self.likeness(window, poses)

    def _without(self, poses: PatchPoses, step: Array) -> PatchPoses:
        grow, turn, wide, skew = step[:, 2:].T / self.shape.half
        rows = np.stack([1 + grow + wide, skew - turn, skew + turn, 1 + grow - wide], axis=-1).reshape(-1, 2, 2)
        turned = poses.turn @ np.linalg.inv(rows)
        shift = (turned @ step[:, :2, None])[..., 0] * self.shape.unit
        return replace(poses, place=poses.place - shift, turn=turned)


def make_template(shape: PatchGrid, window: ImageCrop, poses: PatchPoses) -> PatchTemplate:
    values, contrast = shape.seen(window, poses)
    images = values.reshape(-1, shape.side, shape.side)
    dy, dx = (slope.reshape(values.shape) for slope in np.gradient(images, axis=(1, 2)))
    x, y = shape.offsets.T / shape.half
    moves = np.stack([dx, dy, dx * x + dy * y, dy * x - dx * y, dx * x - dy * y, dx * y + dy * x], axis=1)
    weight = shape.weight[:, None]
    for known in (np.ones_like(values), values):  # what gain and offset do is no motion
        moves = moves - known[:, None] * np.einsum("nk,nk,nik->ni", shape.weight, known, moves)[..., None]
    weighted = moves * weight
    faint = (_PICTURE_ERROR / np.maximum(contrast, 1e-3)) ** 2
    normal = weighted @ np.swapaxes(moves, 1, 2) + faint[:, None, None] * np.diag(_RELUCTANCE)
    return PatchTemplate(shape, values, contrast, np.linalg.solve(normal, weighted).astype(np.float32))
