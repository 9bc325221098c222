"""Source frames of a hole, and the pixels that no frame shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.propagate.camera import Camera, apply_map, look_up
from gpu_server.engines.propagate.survey import Survey
from void_bridge.pixels.arrays import Mask

ENOUGH_SOURCES, MOST_SOURCES = 6, 8  # the last ones are taken only for pixels that no other source shows
_CELL = 4  # proxy pixels
_UNSEEN_STEP = 2
_LEAST_NEW = 2  # cells that no other source shows, for which a source is worth having
_WORTH = (1.0, 0.4, 0.25, 0.12, 0.06)  # of the first, second ... source of a place
_REACH_FRAMES = 10.0


def hidden_points(survey: Survey, frame: int, step: int) -> NDArray[np.float64]:
    """Return (x, y) of one hole pixel from every cell, `step` pixels a side, that holds any: shape [N, 2]."""
    height, width = survey.shape
    padded = np.pad(survey.hole(frame), ((0, -height % step), (0, -width % step)))
    cells = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).swapaxes(1, 2)
    y, x = np.nonzero(cells.any(axis=(2, 3)))
    first = cells[y, x].reshape(-1, step * step).argmax(axis=1)
    return np.column_stack([x * step + first % step, y * step + first // step]).astype(np.float64)


def choose_sources(survey: Survey, camera: Camera, target: int) -> list[int]:
    """Return at most 8 frames, the most useful first: near in time, together showing as much as any frame does."""
    points = hidden_points(survey, target, _CELL)
    if not len(points):
        return []
    others = [i for i in range(survey.frames) if i != target]
    sees = np.array([_sees(survey, camera, target, i, points) for i in others]).reshape(len(others), len(points))
    near = np.array([np.exp(-abs(i - target) / _REACH_FRAMES) + 0.03 for i in others])
    worth = np.append(_WORTH, 0.0)
    taken, times_seen = [], np.zeros(len(points), np.intp)
    while len(taken) < MOST_SOURCES and len(others):
        new = (sees @ (times_seen == 0)) * near
        more = (sees @ worth[np.minimum(times_seen, len(_WORTH))]) * near
        # Cells that only one frame shows come first, however far it is.
        best = int(np.argmax(new if len(taken) >= ENOUGH_SOURCES else more + 10 * new))
        worthwhile = len(taken) < ENOUGH_SOURCES and more[best] >= 0.004 * len(points) * near[best]
        if new[best] < _LEAST_NEW * near[best] and not worthwhile:
            break
        taken.append(others[best])
        times_seen += sees[best]
        sees[best] = False
    return taken


def find_unseen(survey: Survey, camera: Camera, target: int, sources: Sequence[int]) -> Mask:
    """Return hole pixels of the target's proxy that are hidden in all its sources too: shape [h, w]."""
    points = hidden_points(survey, target, _UNSEEN_STEP)
    for source in sources:
        points = points[~_sees(survey, camera, target, source, points)]
    unseen = np.zeros(survey.shape, bool)
    y, x = points[:, 1].astype(np.intp), points[:, 0].astype(np.intp)
    y, x = y - y % _UNSEEN_STEP, x - x % _UNSEEN_STEP
    for dy, dx in np.ndindex(_UNSEEN_STEP, _UNSEEN_STEP):
        unseen[np.minimum(y + dy, survey.shape[0] - 1), np.minimum(x + dx, survey.shape[1] - 1)] = True
    return unseen & survey.hole(target)


def _sees(survey: Survey, camera: Camera, target: int, source: int, points: NDArray[np.float64]) -> Mask:
    return look_up(~survey.invalid(source), apply_map(camera.rough(target, source), points))
