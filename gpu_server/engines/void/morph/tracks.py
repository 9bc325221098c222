"""Tracks of objects, and their relations: where one object hides another, and which tracks show the same object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.morph.objects import MovingObject
from gpu_server.engines.void.morph.patches import PatchChange
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView

_CELL = 4  # pixels
_SHARED = 0.1  # of the smaller object's cells: above this the objects overlap
_SAME_POSITION = 0.7  # of the radius, between centres


@dataclass(frozen=True)
class Track:
    """An object of a key frame, tracked to other frames.

    Attributes:
        target: the object in its key frame.
        reference: its view there.
        views: the views to judge it by.
        all_views: the views in all frames in which it was found.
        changes: the change of its patches by frame.
    """

    target: MovingObject
    reference: ReferenceView
    views: list[TrackedView]
    all_views: list[TrackedView]
    changes: dict[int, PatchChange]


def cut_at_occlusions(tracks: list[Track]) -> list[Track]:
    """Return the tracks of one key frame, each cut where its object meets another."""
    ends = [{1: np.inf, -1: -np.inf} for _ in tracks]
    for one, other in combinations(range(len(tracks)), 2):
        for frame in _meetings(tracks[one], tracks[other]):
            for i in (one, other):
                if frame > tracks[i].target.frame:
                    ends[i][1] = min(ends[i][1], frame)
                else:
                    ends[i][-1] = max(ends[i][-1], frame)
    return [
        replace(track, views=[view for view in track.views if end[-1] < view.frame < end[1]])
        for track, end in zip(tracks, ends, strict=True)
    ]


def is_merged(target: MovingObject, others: list[Track]) -> bool:
    """Return whether an object is really two, which another key frame shows apart.

    Args:
        target: the object.
        others: the tracks of that key frame.
    """
    return sum(_ends_inside(track, target) for track in others) > 1


def group_by_object(tracks: list[Track]) -> list[list[int]]:
    """Return the indices of tracks from several key frames, grouped by object."""
    groups: list[list[int]] = []
    for i, track in enumerate(tracks):
        for group in groups:
            if any(_is_same(tracks[j], track) for j in group):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _meetings(one: Track, other: Track) -> list[int]:
    """Return the frames in which two objects overlap."""
    theirs = {view.frame: view for view in other.views}
    both = [(view, theirs[view.frame]) for view in one.views if view.frame in theirs]
    return [a.frame for a, b in both if _overlap(_cells(one.reference, a), _cells(other.reference, b))]


def _cells(reference: ReferenceView, view: TrackedView) -> set[tuple[int, int]]:
    return set(map(tuple, (view.positions[reference.mask] / _CELL).astype(int).tolist()))


def _overlap(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> bool:
    return len(one & other) > _SHARED * min(len(one), len(other))


def _ends_inside(track: Track, target: MovingObject) -> bool:
    centre = _centre(track, target.frame)
    if centre is None:
        return False
    height, width = target.mask.shape
    x, y = int(np.clip(centre[0], 0, width - 1)), int(np.clip(centre[1], 0, height - 1))
    return bool(target.mask[y, x])


def _is_same(one: Track, other: Track) -> bool:
    """Return whether either object, tracked to the other's key frame, arrives at the other."""
    return one.target.frame != other.target.frame and (_reaches(one, other) or _reaches(other, one))


def _reaches(track: Track, goal: Track) -> bool:
    centre = _centre(track, goal.target.frame)
    if centre is None:
        return False
    rows, columns = np.nonzero(goal.target.mask)
    return float(np.hypot(centre[0] - columns.mean(), centre[1] - rows.mean())) < _SAME_POSITION * goal.target.radius


def _centre(track: Track, frame: int) -> NDArray[np.float32] | None:
    """Return x and y of an object's centre in a frame, or None if it was not found there."""
    found = next((view for view in track.all_views if view.frame == frame), None)
    return None if found is None else np.asarray(np.median(found.positions[track.reference.mask], axis=0))
