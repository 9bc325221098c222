"""From what was measured in single frames to one score a thing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gpu_server.engines.void.morph_meetings import Track
from gpu_server.engines.void.morph_scores import deviation, noise_between, strain, unlike

_STRAIN_SCALE, _STRAIN_PX = (
    0.06,
    1.0,
)  # worth a score of 1; pixels over the radius are added: small things are followed less well
_DEVIATION_SCALE, _DEVIATION_PX = 0.04, 0.5
_UNLIKE_SCALE = 0.5
_LONG_ENOUGH = 0.5  # of the frames of the key frame that followed a thing longest
_SEEN_ONCE = 0.7  # what the word of a single key frame is worth
_WORST = 0.2  # the share of the frames that a score is made of
_WORST_FRAMES = 5
_FRAMES_SCORED = 12


@dataclass(frozen=True)
class ObjectScore:
    """One thing, as seen from the frame `key`. x, y: its centre there; radius: all in pixels of the canvas.

    strain: logarithm of the typical local stretch; deviation: from the nearest rigid parts, in radii; unlike: share of
    the looks that is gone, 0 to 1.
    """

    key: int
    x: float
    y: float
    radius: float
    frames: int
    strain: float
    deviation: float
    unlike: float
    score: float
    worst_frames: tuple[int, ...]


def score_track(first: int, track: Track) -> ObjectScore:
    thing, sight, seen = track.thing, track.sight, track.seen
    noise, every = noise_between(sight, seen), max(1, len(seen) // _FRAMES_SCORED)
    seen = seen[::every]
    strains = np.array([strain(sight, s) for s in seen]) / (_STRAIN_SCALE + _STRAIN_PX / thing.radius)
    deviations = np.array([deviation(sight, s) for s in seen]) / (_DEVIATION_SCALE + _DEVIATION_PX / thing.radius)
    unlikes = np.array([unlike(sight, s, noise) for s in seen]) / _UNLIKE_SCALE
    each = np.maximum(np.minimum(strains, deviations), unlikes)
    y, x = (float(np.mean(axis)) for axis in np.nonzero(thing.mask))
    return ObjectScore(
        key=first + thing.frame,
        x=x,
        y=y,
        radius=thing.radius,
        frames=len(track.seen),
        strain=_worst_share(strains) * (_STRAIN_SCALE + _STRAIN_PX / thing.radius),
        deviation=_worst_share(deviations) * (_DEVIATION_SCALE + _DEVIATION_PX / thing.radius),
        unlike=_worst_share(unlikes) * _UNLIKE_SCALE,
        score=max(min(_worst_share(strains), _worst_share(deviations)), _worst_share(unlikes)),
        worst_frames=tuple(first + seen[i].frame for i in np.argsort(-each)[:_WORST_FRAMES]),
    )


def _worst_share(values: np.ndarray) -> float:
    """The mean of the highest fifth."""
    count = max(2, round(_WORST * len(values)))
    return float(np.sort(values)[-count:].mean())


def agreed(scores: list[ObjectScore]) -> ObjectScore:
    """Of the key frames of one thing the second highest of up to four, those that followed it for long enough."""
    longest = max(score.frames for score in scores)
    witnesses = [score for score in scores if score.frames >= _LONG_ENOUGH * longest]
    if len(witnesses) == 1:
        return replace(witnesses[0], score=_SEEN_ONCE * witnesses[0].score)
    return sorted(witnesses, key=lambda s: -s.score)[max(1, (len(witnesses) - 1) // 2)]
