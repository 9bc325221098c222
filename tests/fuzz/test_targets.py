"""The kept seeds through every target, and a brief coverage-guided run of some; `python -m tests.fuzz` runs long."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.fuzz import run, targets
from tests.fuzz.run import HAS_ATHERIS, FuzzFault, fuzz, replay
from tests.fuzz.targets import TARGETS, is_refused, seeds

LONG = os.environ.get("VOID_BRIDGE_LONG_TESTS")
BRIEF = tuple(TARGETS) if LONG else ("wire", "exr")
needs_atheris = pytest.mark.skipif(not HAS_ATHERIS, reason="atheris is not installed: only the seeds are replayed")


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_read_or_refused_with_words(target):
    done = replay(target)
    assert done.tried == len(seeds(target)) > 3
    assert 0 < done.refused < done.tried, "the seeds of a target are both good and bad"


def test_seeds_are_small_and_few():
    sizes = [path.stat().st_size for target in TARGETS for path in seeds(target)]
    assert len(sizes) < 200 and max(sizes) < 16_384


@needs_atheris
@pytest.mark.parametrize("target", BRIEF)
def test_a_brief_run_finds_nothing(target):
    done = fuzz(target, 60 if LONG else 1)
    assert done.tried > 100 and 0 < done.refused <= done.tried
    assert done.peak_mb < run.MEMORY_MB


def test_an_exception_of_another_kind_is_a_fault():
    def careless(data: bytes) -> None:
        targets.job(data)
        raise KeyError(data)

    with pytest.raises(KeyError):
        is_refused(careless, (targets.SEEDS / "job" / "good").read_bytes())


@needs_atheris
def test_a_fault_is_reported_with_its_input(monkeypatch, tmp_path):
    """A stand-in for the child: the seeds are there, the target is none that it knows."""
    monkeypatch.setattr(run, "SEEDS", tmp_path)
    with pytest.raises(FuzzFault, match=r"none, seed 3: [\s\S]*KeyError"):
        fuzz("none", 1, 3)


def test_the_scratch_folder_is_this_process_own():
    assert targets._scratch.is_relative_to(tempfile.gettempdir())
