"""Affine registration of many small square patches of one image to another at once.

The fit takes inverse-compositional Gauss-Newton steps (S. Baker and I. Matthews, 2004) on patches normalised by their
mean and contrast, so that a change of light is no motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask

_IMAGE_ERROR = 0.02  # contrast of the expected differences: a fainter patch keeps to its prediction
_REGULARISATION = np.array([0.02, 0.02, 0.05, 0.05, 0.05, 0.05], np.float32)  # of shift x, y, scale, turn, two shears
_LONGEST_STEP = 0.4  # of half a patch
_CONVERGED = 0.02  # samples: a shorter step ends the fit


@dataclass(frozen=True)
class ImageCrop:
    """A part of one channel of a frame.

    Attributes:
        image: shape [H, W].
        left: first column of the crop in the frame, in pixels.
        top: first row.
    """

    image: Array
    left: int
    top: int


@dataclass(frozen=True)
class PatchPoses:
    """Positions and orientations of N patches.

    Attributes:
        position: of their centres, shape [N, 2], x and y in pixels.
        axes: shape [N, 2, 2], from patch axes to pixels.
    """

    position: Array
    axes: Array

    def where(self, keep: Mask, other: PatchPoses) -> PatchPoses:
        """Return these poses where `keep` (shape [N]) is set, elsewhere the other ones."""
        position = np.where(keep[:, None], self.position, other.position)
        return PatchPoses(position, np.where(keep[:, None, None], self.axes, other.axes))


@dataclass(frozen=True)
class PatchGrid:
    """The sampling grid of patches.

    Attributes:
        offsets: of the K samples from the centre, shape [K, 2], in samples; as many rows as columns.
        spacing: pixels between samples.
        weight: of each sample of each patch, shape [N, K]; those of a patch add up to 1.
    """

    offsets: Array
    spacing: float
    weight: Array

    @property
    def side(self) -> int:
        """The number of samples along a side."""
        return round(np.sqrt(len(self.offsets)))

    @property
    def half(self) -> float:
        """Half of a side, in samples."""
        return (self.side - 1) / 2

    def sample(self, crop: ImageCrop, poses: PatchPoses) -> tuple[Array, Array]:
        """Return the patches without mean and contrast, shape [N, K], and their contrast, shape [N]."""
        at = poses.position[:, None] + (self.spacing * self.offsets) @ np.swapaxes(poses.axes, 1, 2)
        at = (at - np.float32([crop.left, crop.top])).astype(np.float32)
        values = cv2.remap(crop.image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values = values - np.einsum("nk,nk->n", values, self.weight)[:, None]
        contrast = np.sqrt(np.einsum("nk,nk,nk->n", values, values, self.weight))
        return values / (contrast[:, None] + np.float32(1e-6)), contrast


@dataclass(frozen=True)
class PatchTemplate:
    """The appearance that patches are registered to.

    Attributes:
        grid: how they are sampled.
        values: normalised samples, shape [N, K].
        contrast: shape [N].
        solve: shape [N, 6, K], from differences to a step of the six motion parameters.
    """

    grid: PatchGrid
    values: Array
    contrast: Array
    solve: Array

    def correlation(self, crop: ImageCrop, poses: PatchPoses) -> Array:
        """Return the correlation of each patch at given poses, shape [N], in [-1, 1]."""
        values, _ = self.grid.sample(crop, poses)
        return np.einsum("nk,nk,nk->n", values, self.values, self.grid.weight)

    def fit(self, crop: ImageCrop, poses: PatchPoses, rounds: int) -> tuple[PatchPoses, Array]:
        """Register the patches to an image.

        Args:
            crop: the image.
            poses: to start from.
            rounds: the most steps.

        Returns:
            The poses nearby at which the patches look most alike, and the correlation there, shape [N].
        """
        for _ in range(rounds):
            values, _ = self.grid.sample(crop, poses)
            step = (self.solve @ (values - self.values)[..., None])[..., 0]
            size = np.abs(step).max(axis=1, keepdims=True)
            poses = self._step_back(poses, step * np.minimum(1, _LONGEST_STEP * self.grid.half / (size + 1e-6)))
            if float(size.max()) < _CONVERGED:
                break
        return poses, self.correlation(crop, poses)

    def _step_back(self, poses: PatchPoses, step: Array) -> PatchPoses:
        """Return the poses after the inverse of a step, shape [N, 6]."""
        grow, turn, wide, skew = step[:, 2:].T / self.grid.half
        rows = np.stack([1 + grow + wide, skew - turn, skew + turn, 1 + grow - wide], axis=-1).reshape(-1, 2, 2)
        axes = poses.axes @ np.linalg.inv(rows)
        shift = (axes @ step[:, :2, None])[..., 0] * self.grid.spacing
        return replace(poses, position=poses.position - shift, axes=axes)


def make_template(grid: PatchGrid, crop: ImageCrop, poses: PatchPoses) -> PatchTemplate:
    """Return the template of the patches at given poses of an image."""
    values, contrast = grid.sample(crop, poses)
    images = values.reshape(-1, grid.side, grid.side)
    dy, dx = (slope.reshape(values.shape) for slope in np.gradient(images, axis=(1, 2)))
    x, y = grid.offsets.T / grid.half
    moves = np.stack([dx, dy, dx * x + dy * y, dy * x - dx * y, dx * x - dy * y, dx * y + dy * x], axis=1)
    weight = grid.weight[:, None]
    for known in (np.ones_like(values), values):  # what gain and offset do is no motion
        moves = moves - known[:, None] * np.einsum("nk,nk,nik->ni", grid.weight, known, moves)[..., None]
    weighted = moves * weight
    faint = (_IMAGE_ERROR / np.maximum(contrast, 1e-3)) ** 2
    normal = weighted @ np.swapaxes(moves, 1, 2) + faint[:, None, None] * np.diag(_REGULARISATION)
    return PatchTemplate(grid, values, contrast, np.linalg.solve(normal, weighted).astype(np.float32))
