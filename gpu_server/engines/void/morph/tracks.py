"""What several tracks say of each other: where one thing hides another, and which are one thing seen twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.morph.objects import MovingObject
from gpu_server.engines.void.morph.patches import PatchChange
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView

_CELL = 4  # pixels
_SHARED = 0.1  # of the smaller thing's cells
_SAME_PLACE = 0.7  # of the radius, between centres


@dataclass(frozen=True)
class Track:
    """A thing, its first sight, the frames to judge it by, and all frames in which it was found again.

    changes: of its patches, in each of those frames.
    """

    thing: MovingObject
    sight: ReferenceView
    seen: list[TrackedView]
    followed: list[TrackedView]
    changes: dict[int, PatchChange]


def cut_at_occlusions(tracks: list[Track]) -> list[Track]:
    """The tracks of one key frame, each cut where it comes to lie on another."""
    ends = [{1: np.inf, -1: -np.inf} for _ in tracks]
    for one, other in combinations(range(len(tracks)), 2):
        for frame in _meetings(tracks[one], tracks[other]):
            for i in (one, other):
                if frame > tracks[i].thing.frame:
                    ends[i][1] = min(ends[i][1], frame)
                else:
                    ends[i][-1] = max(ends[i][-1], frame)
    return [
        replace(track, seen=[s for s in track.seen if end[-1] < s.frame < end[1]])
        for track, end in zip(tracks, ends, strict=True)
    ]


def _meetings(one: Track, other: Track) -> list[int]:
    theirs = {s.frame: s for s in other.seen}
    both = [(s, theirs[s.frame]) for s in one.seen if s.frame in theirs]
    return [a.frame for a, b in both if _overlap(_cells(one.sight, a), _cells(other.sight, b))]


def _cells(sight: ReferenceView, seen: TrackedView) -> set[tuple[int, int]]:
    return set(map(tuple, (seen.there[sight.mask] / _CELL).astype(int).tolist()))


def _overlap(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> bool:
    return len(one & other) > _SHARED * min(len(one), len(other))


def is_merged(thing: MovingObject, others: list[Track]) -> bool:
    """Is it two things at once, which another key frame saw apart? others: the tracks of that key frame."""
    return sum(_within(track, thing) for track in others) > 1


def _within(track: Track, thing: MovingObject) -> bool:
    place = _place(track, thing.frame)
    if place is None:
        return False
    height, width = thing.mask.shape
    x, y = int(np.clip(place[0], 0, width - 1)), int(np.clip(place[1], 0, height - 1))
    return bool(thing.mask[y, x])


def group_by_object(tracks: list[Track]) -> list[list[int]]:
    """Indices of tracks from several key frames, those of one thing together."""
    groups: list[list[int]] = []
    for i, track in enumerate(tracks):
        for group in groups:
            if any(_same(tracks[j], track) for j in group):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _same(one: Track, other: Track) -> bool:
    """Does either, followed to the other's key frame, come to lie on it?"""
    return one.thing.frame != other.thing.frame and (_reaches(one, other) or _reaches(other, one))


def _reaches(track: Track, target: Track) -> bool:
    place = _place(track, target.thing.frame)
    if place is None:
        return False
    rows, columns = np.nonzero(target.thing.mask)
    return float(np.hypot(place[0] - columns.mean(), place[1] - rows.mean())) < _SAME_PLACE * target.thing.radius


def _place(track: Track, frame: int) -> NDArray[np.float32] | None:
    """x and y of the middle of a thing in a frame; None where it was not found."""
    found = next((s for s in track.followed if s.frame == frame), None)
    return None if found is None else np.asarray(np.median(found.there[track.sight.mask], axis=0))
