"""The morph check: does what pass 1 made keep its shape and its looks, or does it deform like jelly or dissolve?

Things are found where the result differs from the plate and does not move as the background does. Each is followed
from a few key frames to the others by chained flow; its score is the typical local stretch of that motion, which is 0
for rigid parts with or without hinges between them, or its change of looks after gain, whichever is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.morph_footage import Array, Footage, read_footage
from gpu_server.engines.void.morph_meetings import Track, without_meetings
from gpu_server.engines.void.morph_objects import Thing, find_things
from gpu_server.engines.void.morph_scores import noise_between, strain, unlike
from gpu_server.engines.void.morph_tracks import first_sight, follow

THRESHOLD = 1.0
_STRAIN_SCALE = 0.12  # the strain that is worth a score of 1
_UNLIKE_SCALE = 0.45  # the change of looks that is worth a score of 1
_RUN = 96  # frames that are held at once
_RUN_OVERLAP = 24
_KEYS_EVERY = 24
_REACH = 40  # frames to each side of a key
_THINGS_A_KEY = 5
_FEWEST_FRAMES = 3
_WORST = 0.3  # the share of the frames that a score is made of
_WORST_FRAMES = 5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ObjectScore:
    """One thing, as seen from the frame `key`. x, y: its centre there; radius: all in pixels of the canvas.

    strain: logarithm of the typical local stretch; unlike: share of the looks that is gone, 0 to 1.
    """

    key: int
    x: float
    y: float
    radius: float
    frames: int
    strain: float
    unlike: float
    score: float
    worst_frames: tuple[int, ...]


@dataclass(frozen=True)
class MorphCheck:
    """score: of the worst object, 0 where there was nothing to judge; from `threshold` on pass 2 is worth its time."""

    score: float
    threshold: float
    worst_frames: tuple[int, ...]
    per_object: tuple[ObjectScore, ...]

    @property
    def morphs(self) -> bool:
        return self.score >= self.threshold


def check_morphing(
    made: Callable[[int], Array],
    plate: Callable[[int], Array],
    frames: int,
    flow: Flow,
    on_frame: Progress | None = None,
) -> MorphCheck:
    """Judge a result against its plate.

    made, plate: frame `i` of `range(frames)`, shape [H, W, 3], display-encoded, about [0, 1]. Called once a frame (twice
    where two runs of a long shot overlap); no more than 96 frames are held at once, as 8-bit pictures.
    on_frame: told the steps done and their total.
    """
    runs = list(_runs(frames))
    total = 2 * sum(len(run) for run in runs)
    scores: list[ObjectScore] = []
    done = 0
    for run in runs:
        footage = Footage(run.start)
        for footage in read_footage(made, plate, run):
            done += 1
            if on_frame:
                on_frame(done, total)
        scores += judge(footage, flow)
        done += len(run)
        if on_frame:
            on_frame(done, total)
    scores.sort(key=lambda s: -s.score)
    worst = scores[0] if scores else None
    return MorphCheck(
        worst.score if worst else 0.0, THRESHOLD, worst.worst_frames if worst else (), tuple(scores[:_THINGS_A_KEY])
    )


def judge(footage: Footage, flow: Flow) -> list[ObjectScore]:
    scores = []
    for key in _keys(footage.frames):
        tracks = [_track(footage, thing, flow) for thing in find_things(footage, key)[:_THINGS_A_KEY]]
        scores += [_scored(footage, track) for track in without_meetings(tracks) if len(track.seen) >= _FEWEST_FRAMES]
    return scores


def _track(footage: Footage, thing: Thing, flow: Flow) -> Track:
    sight = first_sight(footage, thing)
    seen = [s for way in (1, -1) for s in follow(footage, thing, sight, flow, way, _REACH)]
    return Track(thing, sight, seen)


def _runs(frames: int) -> Iterator[range]:
    start = 0
    while start == 0 or start + _RUN_OVERLAP < frames:
        yield range(start, min(start + _RUN, frames))
        start += _RUN - _RUN_OVERLAP


def _keys(frames: int) -> list[int]:
    count = max(2, round(frames / _KEYS_EVERY))
    return sorted({int((i + 0.5) * frames / count) for i in range(count)})


def _scored(footage: Footage, track: Track) -> ObjectScore:
    thing, sight, seen = track.thing, track.sight, track.seen
    noise = noise_between(sight, seen)
    strains = np.array([strain(sight, s) for s in seen])
    unlikes = np.array([unlike(sight, s, noise) for s in seen])
    y, x = (float(np.mean(axis)) for axis in np.nonzero(thing.mask))
    each = np.maximum(strains / _STRAIN_SCALE, unlikes / _UNLIKE_SCALE)
    worst = [footage.first + seen[i].frame for i in np.argsort(-each)[:_WORST_FRAMES]]
    typical_strain, typical_unlike = _worst_share(strains), _worst_share(unlikes)
    score = max(typical_strain / _STRAIN_SCALE, typical_unlike / _UNLIKE_SCALE)
    return ObjectScore(
        footage.first + thing.frame, x, y, thing.radius, len(seen), typical_strain, typical_unlike, score, tuple(worst)
    )


def _worst_share(values: np.ndarray) -> float:
    """The mean of the highest three in ten."""
    count = max(2, round(_WORST * len(values)))
    return float(np.sort(values)[-count:].mean())
