"""From what was measured in single frames to one score a thing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gpu_server.engines.void.morph.appearance import appearance_change, grain_level
from gpu_server.engines.void.morph.patches import PatchChange
from gpu_server.engines.void.morph.tracks import Track

_STRETCH_SCALE, _STRETCH_PX = 0.1, 1.67  # worth a score of 1; pixels over the radius: small things are seen less well
_LOOKS_SCALE = 0.75
_LONG_ENOUGH = 0.5  # of the frames of the key frame that followed a thing longest
_SEEN_ONCE = 0.7  # what the word of a single key frame on the shape is worth
_WORST = 0.2  # the share of the frames that a score is made of
_WORST_FRAMES = 5
_FRAMES_SCORED = 12


@dataclass(frozen=True)
class ObjectScore:
    """One thing, as seen from the frame `key`. x, y: its centre there; radius: all in pixels of the canvas.

    stretch: logarithm of the typical stretch of its patches; shape, looks: the scores of that and of the looks that are
    gone.
    """

    key: int
    x: float
    y: float
    radius: float
    frames: int
    stretch: float
    shape: float
    looks: float
    score: float
    worst_frames: tuple[int, ...]


def score_track(first: int, track: Track) -> ObjectScore:
    thing, sight, seen = track.thing, track.sight, track.seen
    noise, every = grain_level(sight, seen), max(1, len(seen) // _FRAMES_SCORED)
    seen = seen[::every]
    changes = [track.changes[s.frame] for s in seen]
    stretches = np.array([change.stretch for change in changes])
    looks = np.array(
        [_looks(change, appearance_change(sight, s, noise)) for s, change in zip(seen, changes, strict=True)]
    )
    whole = _STRETCH_SCALE + _STRETCH_PX / thing.radius
    each = np.maximum(stretches / whole, looks)
    y, x = (float(np.mean(axis)) for axis in np.nonzero(thing.mask))
    stretch, gone = _worst_share(stretches), _worst_share(looks)
    return ObjectScore(
        key=first + thing.frame,
        x=x,
        y=y,
        radius=thing.radius,
        frames=len(track.seen),
        stretch=stretch,
        shape=stretch / whole,
        looks=gone,
        score=max(stretch / whole, gone),
        worst_frames=tuple(first + seen[i].frame for i in np.argsort(-each)[:_WORST_FRAMES]),
    )


def _looks(change: PatchChange, unlike_share: float) -> float:
    return float(np.sqrt(change.gone * unlike_share)) * change.followed / _LOOKS_SCALE


def _worst_share(values: np.ndarray) -> float:
    """The mean of the highest fifth."""
    count = max(2, round(_WORST * len(values)))
    return float(np.sort(values)[-count:].mean())


def combine_scores(scores: list[ObjectScore]) -> ObjectScore:
    """What the key frames say of one thing, those that followed it for long enough: of its shape at least two.

    Looks that are gone late are gone from the early key frames alone, so that one of two is enough.
    """
    longest = max(score.frames for score in scores)
    witnesses = [score for score in scores if score.frames >= _LONG_ENOUGH * longest]
    middle = (len(witnesses) - 1) // 2
    looks = sorted(witnesses, key=lambda s: -s.looks)[middle]
    if len(witnesses) == 1:
        return replace(looks, score=max(_SEEN_ONCE * looks.shape, looks.looks))
    shape = sorted(witnesses, key=lambda s: -s.shape)[max(1, middle)]
    return max(replace(shape, score=shape.shape), replace(looks, score=looks.looks), key=lambda s: s.score)
