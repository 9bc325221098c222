"""The morph check, on clips that are drawn at random in two independent ways."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import pytest

from gpu_server.benchmarks.void.morph_check import score, separation
from gpu_server.benchmarks.void.morph_clips import MORPHING, RIGID, make_morph_clip
from gpu_server.engines.void.flow import make_flow
from gpu_server.engines.void.morph.check import check_morphing
from tests.support.morph_clips import clip as formula_clip

PAINTED, FORMULA = "painted", "formula"


def _score(case: tuple[str, str, int]) -> tuple[str, float]:
    style, kind, seed = case
    cv2.setNumThreads(1)
    if style == PAINTED:
        clip = make_morph_clip(kind, seed, (176, 304), 24)
        return kind, score(clip.generated, clip.plate)
    return kind, score(*formula_clip(kind, seed))


@pytest.mark.timeout(600)
def test_scores_separate_morphing_from_motion(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [(PAINTED, kind, 40000) for kind in RIGID]
    cases += [(PAINTED, "articulated", 40001 + i) for i in range(2)]
    cases += [(PAINTED, kind, 40000 + i) for kind in MORPHING for i in range(4)]
    cases += [(FORMULA, kind, 41000) for kind in ("rotation", "bouncing", "lighting", "articulated")]
    cases += [(FORMULA, kind, 41000 + i) for kind in MORPHING for i in range(2)]
    scores: dict[str, list[float]] = {kind: [] for kind in RIGID + MORPHING}
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for kind, value in pool.map(_score, cases, chunksize=2):
            scores[kind].append(value)
    found = separation(scores)
    with capsys.disabled():
        print("", *found.lines(), sep="\n")  # noqa: T201
    assert found.auc >= 0.95
    assert found.false_alarms <= 0.15
    assert found.misses <= 0.25


def test_an_unchanged_plate_scores_0() -> None:
    _, plate = formula_clip("translation", 3, frames=8)
    check = check_morphing(plate.__getitem__, plate.__getitem__, 8, make_flow())
    assert (check.score, check.morphs, check.worst_frames, check.per_object) == (0.0, False, (), ())


def test_uncovered_background_is_not_judged() -> None:
    _, plate = formula_clip("translation", 4, frames=16)
    clean = np.repeat(np.median(plate, axis=0)[None], 16, axis=0)
    with_object = clean.copy()
    for t in range(16):
        cv2.circle(with_object[t], (60 + 10 * t, 90), 25, (0.9, 0.2, 0.1), -1)
    check = check_morphing(clean.__getitem__, with_object.__getitem__, 16, make_flow())
    assert check.score < 0.1


def test_each_frame_is_read_once_and_progress_ends() -> None:
    made, plate = formula_clip("deform", 5, frames=12)
    reads: list[int] = []
    steps: list[tuple[int, int]] = []

    def read(index: int) -> np.ndarray:
        reads.append(index)
        return made[index]

    check_morphing(read, plate.__getitem__, 12, make_flow(), on_frame=lambda done, total: steps.append((done, total)))
    assert reads == list(range(12))
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_shots_have_a_score(frames: int) -> None:
    made, plate = formula_clip("deform", 6, frames=12)
    assert check_morphing(made.__getitem__, plate.__getitem__, frames, make_flow()).score >= 0


def test_the_same_clip_gives_the_same_scores() -> None:
    made, plate = formula_clip("deform", 8, frames=16)
    one, other = (check_morphing(made.__getitem__, plate.__getitem__, 16, make_flow()) for _ in range(2))
    assert one == other
    assert one.morphs
    assert one.per_object[0].score == one.score
    assert set(one.worst_frames) <= set(range(16))
