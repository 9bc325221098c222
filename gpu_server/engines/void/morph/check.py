"""The morph check: whether objects in the result of pass 1 deform like jelly or dissolve.

Objects are found where the result differs from the plate and does not move with the background. Each is tracked from a
few key frames to other frames by chained flow, and so are small patches of it. The score of its shape is the stretch of
most of its patches, which is zero for rigid parts with or without hinges between them. The score of its appearance is
the share that is lost, after gain. A finding of only one of several key frames counts for less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.morph.frames import Array, ResultFrames
from gpu_server.engines.void.morph.objects import MovingObject, find_objects
from gpu_server.engines.void.morph.patches import PatchChange, PatchTracker
from gpu_server.engines.void.morph.scoring import ObjectScore, combine_scores, score_track
from gpu_server.engines.void.morph.tracking import TrackedView, make_reference_view, track_object
from gpu_server.engines.void.morph.tracks import Track, cut_at_occlusions, group_by_object, is_merged

THRESHOLD = 0.25
_RUN = 96  # frames that are held at once
_RUN_OVERLAP = 24
_KEYS_EVERY = 24
_REACH = 40  # frames to each side of a key frame
_OBJECTS_A_KEY = 5
_FEWEST_FRAMES = 3


@dataclass(frozen=True)
class MorphCheck:
    """The result of the morph check.

    Attributes:
        score: of the worst object; 0 if there is no object to judge.
        threshold: the score from which pass 2 is worth its time.
        worst_frames: of the worst object.
        per_object: the worst objects, five at most.
    """

    score: float
    threshold: float
    worst_frames: tuple[int, ...]
    per_object: tuple[ObjectScore, ...]

    @property
    def morphs(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold


def check_morphing(
    generated: Callable[[int], Array],
    plate: Callable[[int], Array],
    frames: int,
    flow: Flow,
    on_frame: Callable[[int, int], None] | None = None,
) -> MorphCheck:
    """Check the result of a shot against its plate.

    Frames are read once, and twice where two runs of a long shot overlap; no more than 96 are held at once.

    Args:
        generated: returns frame `i` of `range(frames)` of the result, shape [H, W, 3], display-encoded, about [0, 1].
        plate: returns the same frame of the plate.
        frames: number of frames.
        flow: the optical flow to use.
        on_frame: called with the number of steps done and of all steps.
    """
    runs = list(_runs(frames))
    total = 2 * sum(len(run) for run in runs)
    report = on_frame or (lambda done, total: None)
    scores: list[ObjectScore] = []
    done = 0
    for run in runs:
        result = ResultFrames(run.start)
        for _ in result.read(generated, plate, run):
            done += 1
            report(done, total)
        scores += _scores(result, flow, lambda share, done=done, run=run: report(done + int(share * len(run)), total))
        done += len(run)
        report(done, total)
    scores.sort(key=lambda s: -s.score)
    worst = scores[0] if scores else None
    return MorphCheck(
        worst.score if worst else 0.0, THRESHOLD, worst.worst_frames if worst else (), tuple(scores[:_OBJECTS_A_KEY])
    )


def _scores(result: ResultFrames, flow: Flow, report: Callable[[float], None]) -> list[ObjectScore]:
    """Return one score for each object of a run.

    Args:
        result: the frames of the run.
        flow: the optical flow to use.
        report: called often with the share of the work that is done.
    """
    keys = _keys(result.count)
    by_key: list[list[Track]] = []
    for i, key in enumerate(keys):
        report(i / len(keys))
        found = find_objects(result, key)[:_OBJECTS_A_KEY]
        by_key.append([_track(result, target, flow, lambda i=i: report(i / len(keys))) for target in found])
    tracks = [
        track
        for of_key in by_key
        for track in cut_at_occlusions(of_key)
        if len(track.views) >= _FEWEST_FRAMES and not any(is_merged(track.target, others) for others in by_key)
    ]
    scores = [score_track(result.first, track) for track in tracks]
    return [combine_scores([scores[i] for i in group]) for group in group_by_object(tracks)]


def _track(result: ResultFrames, target: MovingObject, flow: Flow, on_step: Callable[[], None]) -> Track:
    """Track an object and its patches in both directions."""
    reference = make_reference_view(result, target)
    views: list[TrackedView] = []
    changes: dict[int, PatchChange] = {}
    for direction in (1, -1):
        patches = PatchTracker(result, target.frame, reference)
        for view in track_object(result, target, reference, flow, direction, _REACH):
            views.append(view)
            changes[view.frame] = patches.track(view)
            on_step()
    return Track(target, reference, views, views, changes)


def _runs(frames: int) -> Iterator[range]:
    start = 0
    while start == 0 or start + _RUN_OVERLAP < frames:
        yield range(start, min(start + _RUN, frames))
        start += _RUN - _RUN_OVERLAP


def _keys(frames: int) -> list[int]:
    count = max(2, round(frames / _KEYS_EVERY))
    return sorted({int((i + 0.5) * frames / count) for i in range(count)})
