"""Things that meet: where one hides another, neither can be judged any more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from gpu_server.engines.void.morph_objects import Thing
from gpu_server.engines.void.morph_tracks import Seen, Sight

_CELL = 4  # pixels
_SHARED = 0.1  # of the smaller thing's cells


@dataclass(frozen=True)
class Track:
    """A thing, its first sight, and the frames in which it was found again."""

    thing: Thing
    sight: Sight
    seen: list[Seen]


def without_meetings(tracks: list[Track]) -> list[Track]:
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


def _cells(sight: Sight, seen: Seen) -> set[tuple[int, int]]:
    return set(map(tuple, (seen.there[sight.mask] / _CELL).astype(int).tolist()))


def _overlap(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> bool:
    return len(one & other) > _SHARED * min(len(one), len(other))
