"""Golden results: the engines make the recorded pixels of a small shot.

tests/golden/results/README.md says which differences are allowed. `UPDATE_GOLDEN=1` records anew.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.support import golden
from tests.support.golden import ELSEWHERE, FOLDER, OPTIONS, apart, recorded

TYPICAL, MOST, LARGEST = 2e-4, 2e-3, 2e-2
_BYTES_MAX = 300_000


@pytest.fixture(scope="module", autouse=True)
def updated():
    """Record anew before anything is compared, if `UPDATE_GOLDEN` is set."""
    if os.environ.get("UPDATE_GOLDEN"):
        golden.record("shot", **golden.made_shot())


@pytest.mark.parametrize("engine", OPTIONS)
def test_an_engine_makes_the_pixels_that_were_recorded(engine, tmp_path):
    found = golden.made_by(engine, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.record(engine, **found)
    expected = recorded(engine)
    assert np.array_equal(found["pasted"], expected["pasted"]), "another area was pasted"
    assert np.isfinite(found["rgb"]).all()
    far = apart(found["rgb"], expected["rgb"])
    assert far.typical <= TYPICAL and far.most <= MOST and far.largest <= LARGEST, far


@pytest.mark.parametrize("engine", OPTIONS)
def test_a_record_differs_from_the_plate(engine):
    """A drift of the engine could not be seen otherwise."""
    made = recorded(engine)
    before = recorded("shot")["plate"][made["pasted"]]
    assert len(before) > 500
    assert apart(made["rgb"], before).typical > 0.1


def test_the_footage_equals_its_record():
    expected, found = recorded("shot"), golden.made_shot()
    assert expected.keys() == found.keys()
    for name in expected:
        far = apart(found[name], expected[name])
        assert far.typical <= TYPICAL and far.most <= MOST and far.largest <= LARGEST, (name, far)


def test_a_drift_of_one_in_a_hundred_is_seen():
    rgb = recorded("propagate")["rgb"]
    far = apart((rgb * np.float16(1.01)).astype(np.float16), rgb)
    assert far.typical > 10 * TYPICAL
    few = rgb.copy()
    few[: len(few) // 50] *= np.float16(1.01)
    assert apart(few, rgb).most > MOST


def test_the_records_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < _BYTES_MAX


@pytest.mark.skipif(not os.environ.get("VOID_BRIDGE_LONG_TESTS"), reason="takes minutes; VOID_BRIDGE_LONG_TESTS=1")
@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("engine", OPTIONS)
def test_other_instructions_and_threads_stay_within_the_tolerance(engine, how):
    far = apart(golden.elsewhere(engine, how), recorded(engine)["rgb"])
    assert far.typical <= TYPICAL and far.most <= MOST and far.largest <= LARGEST, far
