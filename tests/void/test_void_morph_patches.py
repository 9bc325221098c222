"""The patches of the morph check: an affine map is found again under other light; hinges do not stretch, jelly does."""

import cv2
import numpy as np
import pytest

from gpu_server.engines.base import Array, rng
from gpu_server.engines.void.flow import make_flow
from gpu_server.engines.void.morph.frames import ResultFrames
from gpu_server.engines.void.morph.objects import find_objects
from gpu_server.engines.void.morph.patch_fit import ImageCrop, PatchGrid, PatchPoses, make_template
from gpu_server.engines.void.morph.patches import PatchTracker
from gpu_server.engines.void.morph.tracking import make_reference_view, track_object

HEIGHT, WIDTH = 128, 160


def _texture(seed: int) -> Array:
    noise = rng(seed, "texture").random((HEIGHT, WIDTH, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(0.5 + (smooth - smooth.mean()) / smooth.std() * 0.15, 0, 1)


def _patch(half: int) -> PatchGrid:
    axis = np.arange(-half, half + 1, dtype=np.float32)
    offsets = np.stack([a.ravel() for a in np.meshgrid(axis, axis)], axis=-1)
    return PatchGrid(offsets, 1.0, np.full((1, len(offsets)), 1 / len(offsets), np.float32))


def test_an_affine_map_is_found_under_other_light() -> None:
    here = cv2.GaussianBlur(_texture(1)[..., 0], (0, 0), 1)
    turn = np.array([[1.1, 0.06], [-0.09, 0.93]])
    middle = np.array([80.0, 64.0])
    moved = middle + np.array([1.5, -1.0])
    motion = np.column_stack([turn, moved - turn @ middle])
    there = 0.6 * cv2.warpAffine(here, motion, (WIDTH, HEIGHT)) + 0.2
    start = PatchPoses(middle[None].astype(np.float32), np.eye(2, dtype=np.float32)[None])
    found, like = make_template(_patch(9), ImageCrop(here, 0, 0), start).fit(ImageCrop(there, 0, 0), start, 20)
    assert found.axes[0] == pytest.approx(turn, abs=0.02)
    assert found.position[0] == pytest.approx(moved, abs=0.1)
    assert like[0] > 0.98


def _largest_stretch(pictures: list[Array]) -> float:
    """Return the largest stretch of the object on a grey ground, tracked from the first picture."""
    result, ground = ResultFrames(0), np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    list(result.read(pictures.__getitem__, lambda _: ground, range(len(pictures))))
    target = find_objects(result, 0)[0]
    reference = make_reference_view(result, target)
    patches = PatchTracker(result, 0, reference)
    views = track_object(result, target, reference, make_flow(), 1, len(pictures))
    changes = [patches.track(view) for view in views]
    assert len(changes) == len(pictures) - 1
    return max(change.stretch for change in changes)


def _bar(texture: Array, motion: Array, picture: Array, box: tuple[int, int, int, int]) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.rectangle(mask, box[:2], box[2:], 1.0, -1)
    cover = cv2.warpAffine(mask, motion, (WIDTH, HEIGHT))[..., None]
    return picture * (1 - cover) + cv2.warpAffine(texture, motion, (WIDTH, HEIGHT)) * cover


def _still() -> Array:
    return np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)


def test_a_limb_that_swings_is_not_stretched() -> None:
    pictures = []
    for t in range(9):
        turns = [cv2.getRotationMatrix2D((80.0, 64.0), sign * 5.0 * t, 1.0) for sign in (1, -1)]
        left = _bar(_texture(2), turns[0], _still(), (36, 48, 80, 80))
        pictures.append(_bar(_texture(3), turns[1], left, (80, 48, 124, 80)))
    assert _largest_stretch(pictures) < 0.03


def test_an_object_that_is_pulled_wide_is_stretched_by_as_much() -> None:
    pictures = []
    for t in range(9):
        wide = 1 + 0.025 * t
        motion = np.array([[wide, 0, 80 * (1 - wide)], [0, 1 / wide, 64 * (1 - 1 / wide)]])
        pictures.append(_bar(_texture(4), motion, _still(), (52, 40, 108, 88)))
    assert _largest_stretch(pictures) == pytest.approx(np.log(1.2), abs=0.03)
