"""The morph check: does what pass 1 made keep its shape and its looks, or does it deform like jelly or dissolve?

Things are found where the result differs from the plate and does not move as the background does. Each is followed
from a few key frames to the others by chained flow, and small patches of it each by itself. Its shape is scored by how
far most of its patches are stretched, which is nothing for rigid parts with or without hinges between them; its looks
by what is gone of them after gain. What only one of several key frames says is not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.morph.frames import Array, ResultFrames, read_frames
from gpu_server.engines.void.morph.objects import MovingObject, find_objects
from gpu_server.engines.void.morph.patches import PatchChange, PatchTracker
from gpu_server.engines.void.morph.scoring import ObjectScore, combine_scores, score_track
from gpu_server.engines.void.morph.tracking import TrackedView, make_reference_view, track_object
from gpu_server.engines.void.morph.tracks import Track, cut_at_occlusions, group_by_object, is_merged

THRESHOLD = 0.25
_RUN = 96  # frames that are held at once
_RUN_OVERLAP = 24
_KEYS_EVERY = 24
_REACH = 40  # frames to each side of a key
_THINGS_A_KEY = 5
_FEWEST_FRAMES = 3

Progress = Callable[[int, int], None]


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

    made, plate: frame `i` of `range(frames)`, shape [H, W, 3], display-encoded, about [0, 1]. Called once a frame,
    twice where two runs of a long shot overlap; no more than 96 frames are held at once, as 8-bit pictures.
    on_frame: told the steps done and their total.
    """
    runs = list(_runs(frames))
    total = 2 * sum(len(run) for run in runs)
    tell = on_frame or (lambda done, total: None)
    scores: list[ObjectScore] = []
    done = 0
    for run in runs:
        footage = ResultFrames(run.start)
        for _ in read_frames(footage, made, plate, run):
            done += 1
            tell(done, total)
        scores += _judged(footage, flow, lambda share, done=done, run=run: tell(done + int(share * len(run)), total))
        done += len(run)
        tell(done, total)
    scores.sort(key=lambda s: -s.score)
    worst = scores[0] if scores else None
    return MorphCheck(
        worst.score if worst else 0.0, THRESHOLD, worst.worst_frames if worst else (), tuple(scores[:_THINGS_A_KEY])
    )


def _judged(footage: ResultFrames, flow: Flow, at: Callable[[float], None]) -> list[ObjectScore]:
    """One score for each thing of a run, however many key frames saw it. at: told the share of the work done, often."""
    keys = _keys(footage.frames)
    by_key: list[list[Track]] = []
    for place, key in enumerate(keys):
        at(place / len(keys))
        things = find_objects(footage, key)[:_THINGS_A_KEY]
        by_key.append([_track(footage, thing, flow, lambda place=place: at(place / len(keys))) for thing in things])
    tracks = [
        track
        for found in by_key
        for track in cut_at_occlusions(found)
        if len(track.seen) >= _FEWEST_FRAMES and not any(is_merged(track.thing, others) for others in by_key)
    ]
    scores = [score_track(footage.first, track) for track in tracks]
    return [combine_scores([scores[i] for i in group]) for group in group_by_object(tracks)]


def _track(footage: ResultFrames, thing: MovingObject, flow: Flow, on_step: Callable[[], None]) -> Track:
    sight = make_reference_view(footage, thing)
    seen: list[TrackedView] = []
    changes: dict[int, PatchChange] = {}
    for way in (1, -1):
        patches = PatchTracker(footage, thing.frame, sight)
        for step in track_object(footage, thing, sight, flow, way, _REACH):
            seen.append(step)
            changes[step.frame] = patches.look(step)
            on_step()
    return Track(thing, sight, seen, seen, changes)


def _runs(frames: int) -> Iterator[range]:
    start = 0
    while start == 0 or start + _RUN_OVERLAP < frames:
        yield range(start, min(start + _RUN, frames))
        start += _RUN - _RUN_OVERLAP


def _keys(frames: int) -> list[int]:
    count = max(2, round(frames / _KEYS_EVERY))
    return sorted({int((i + 0.5) * frames / count) for i in range(count)})
