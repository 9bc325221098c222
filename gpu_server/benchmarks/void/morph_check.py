"""The morph check's separation of morphing from motion, on clips drawn at random."""

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
    """The check's scores of morphing clips against those of rigid ones.

    Attributes:
        auc: the probability that a morphing clip scores above a rigid one.
        low: the lower end of 95 % of bootstrap draws of the clips.
        high: the upper end.
        by_kind: the same probability for each rigid kind against all morphing clips, and for each morphing kind
            against all rigid ones.
        false_alarms: the share of rigid clips above the check's threshold.
        misses: the share of morphing clips below it.
        clips: number of clips.
    """

    auc: float
    low: float
    high: float
    by_kind: dict[str, float]
    false_alarms: float
    misses: float
    clips: int

    def lines(self) -> Iterable[str]:
        """Yield the figures in words."""
        yield f"over all {self.auc:.3f} ({self.low:.3f} to {self.high:.3f}), {self.clips} clips"
        yield f"at the threshold: {self.false_alarms:.0%} false alarms, {self.misses:.0%} misses"
        yield from (f"{kind} {value:.3f}" for kind, value in self.by_kind.items())


def measure(clips_a_kind: int = 20, seed: int = 1, size: tuple[int, int] = (192, 336), frames: int = 28) -> Separation:
    """Draw clips, score each, and return the separation. Morphing kinds get twice as many clips.

    Args:
        clips_a_kind: clips of each rigid kind.
        seed: the seed of the first clip of each kind.
        size: height and width in pixels.
        frames: frames of a clip.
    """
    scores = {}
    for kind in RIGID + MORPHING:
        count = clips_a_kind * (2 if kind in MORPHING else 1)
        clips = (make_morph_clip(kind, seed + i, size, frames) for i in range(count))
        scores[kind] = [score(clip.generated, clip.plate) for clip in clips]
    return separation(scores)


def score(generated: np.ndarray, plate: np.ndarray) -> float:
    """Return the check's score of a clip: generated frames and plate, shape [T, H, W, 3], display-encoded."""
    return check_morphing(generated.__getitem__, plate.__getitem__, len(generated), make_flow()).score


def separation(scores: dict[str, list[float]]) -> Separation:
    """Return the separation of scored clips.

    Args:
        scores: the scores of each clip, by kind.
    """
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
    """Return the probability that a draw of the first values exceeds one of the second; ties count half.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    difference = higher[:, None] - lower[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
