"""How well the morph check tells morphing from motion, on clips drawn at random."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gpu_server.benchmarks.void.morph_clips import MORPHING, RIGID, make_morph_clip
from gpu_server.engines.base import rng
from gpu_server.engines.void.flow import make_flow
from gpu_server.engines.void.morph.check import THRESHOLD, check_morphing

_DRAWS = 1000


@dataclass(frozen=True)
class Separation:
    """auc: that a morphing clip scores above a rigid one, over all; low, high: 95 % of bootstrap draws of the clips.

    by_kind: of each rigid kind against all morphing clips, of each morphing kind against all rigid ones.
    false_alarms, misses: shares at the check's own threshold.
    """

    auc: float
    low: float
    high: float
    by_kind: dict[str, float]
    false_alarms: float
    misses: float
    clips: int

    def lines(self) -> Iterable[str]:
        yield f"over all {self.auc:.3f} ({self.low:.3f} to {self.high:.3f}), {self.clips} clips"
        yield f"at the threshold: {self.false_alarms:.0%} false alarms, {self.misses:.0%} misses"
        yield from (f"{kind} {value:.3f}" for kind, value in self.by_kind.items())


def measure(clips_a_kind: int = 20, seed: int = 1, size: tuple[int, int] = (192, 336), frames: int = 28) -> Separation:
    """Morphing kinds get twice as many clips."""
    scores = {}
    for kind in RIGID + MORPHING:
        count = clips_a_kind * (2 if kind in MORPHING else 1)
        clips = (make_morph_clip(kind, seed + i, size, frames) for i in range(count))
        scores[kind] = [score(clip.made, clip.plate) for clip in clips]
    return separation(scores)


def score(made: np.ndarray, plate: np.ndarray) -> float:
    return check_morphing(made.__getitem__, plate.__getitem__, len(made), make_flow()).score


def separation(scores: dict[str, list[float]]) -> Separation:
    """scores: of the clips of each kind."""
    rigid, morphing = (np.concatenate([scores[k] for k in kinds if k in scores]) for kinds in (RIGID, MORPHING))
    draw = rng(0, "bootstrap")
    drawn = [auc(draw.choice(morphing, len(morphing)), draw.choice(rigid, len(rigid))) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Separation(
        auc(morphing, rigid),
        float(low),
        float(high),
        {k: auc(np.array(v), rigid) if k in MORPHING else auc(morphing, np.array(v)) for k, v in scores.items()},
        float((rigid >= THRESHOLD).mean()),
        float((morphing < THRESHOLD).mean()),
        len(rigid) + len(morphing),
    )


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """The probability that a draw of the first exceeds one of the second; ties count half.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    difference = higher[:, None] - lower[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
