"""Parity with the reference: float32, on a CPU, within 1e-4 everywhere.

`VOID_PARITY_DIR` names a folder with `model/`, a checkpoint, and below it cases of that checkpoint (default:
../shared/parity next to the checkout, if it exists). A case for each pass is kept here.
"""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("torch", reason="the VOID engine needs the extra [void]")

from tests.support.void_cases import (
    COMMITTED,
    TENSORS,
    TOLERANCE,
    Case,
    computed,
    differences,
    find_cases,
    outside_root,
)

KEPT = find_cases(COMMITTED)
OUTSIDE = find_cases(outside_root()) if outside_root() else []
CASES = [pytest.param(case, id=f"kept-{case.name}") for case in KEPT]
CASES += [pytest.param(case, id=case.name) for case in OUTSIDE]


@pytest.mark.parametrize("case", CASES)
def test_the_engine_matches_the_reference(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    found = differences(computed(case), case.reference())
    with capsys.disabled():
        sys.stdout.writelines(f"\n{case.name:24} {name:28} {value:.2e}" for name, value in found.items())
    assert set(TENSORS) <= set(found)
    assert {name: value for name, value in found.items() if not value <= TOLERANCE} == {}


def test_a_case_of_each_pass_is_kept() -> None:
    assert {case.settings["pass"] for case in KEPT} == {1, 2}


def test_a_named_folder_has_cases() -> None:
    assert outside_root() is None or OUTSIDE, f"no case.json below {outside_root()}"


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("case", KEPT, ids=lambda case: case.name)
def test_a_shift_of_a_thousandth_exceeds_the_tolerance(case: Case, name: str) -> None:
    reference = case.reference()
    reference[name] = reference[name] + 1e-3
    assert not differences(computed(case), reference)[name] <= TOLERANCE
