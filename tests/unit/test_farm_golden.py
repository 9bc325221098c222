"""Golden job bundles: what goes in, and every file that comes out (tests/golden/bundles/README.md)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from host_plugins.farm.command import COMMAND
from tests.support.commands import run_command
from tests.support.shots import write_matte, write_plate
from void_bridge.frames import FrameRange

openjd_model = pytest.importorskip("openjd.model")

CASES = Path(__file__).parents[1] / "golden/bundles"
NAMES = sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())
UPDATE = "UPDATE_GOLDEN"


def lay_out(case: Path, root: Path) -> list[str]:
    """The files of a case below `root`. Returns the words of the command."""
    for source in (case / "job").iterdir():
        (root / source.name).write_text(source.read_text(encoding="utf-8").replace("{ROOT}", root.as_posix()))
    described = json.loads((root / "case.json").read_text())
    for name, frames in described["sequences"].items():
        folder, kind = root / Path(name).parent, Path(name).name
        numbers = FrameRange.parse(frames)
        if kind == "plate":
            write_plate(folder, numbers, (16, 16))
        else:
            write_matte(folder, numbers, np.ones((16, 16), np.float16), name=kind)
    return described["command"]


def made_bundle(name: str, root: Path, monkeypatch) -> dict[str, str]:
    """Every file of the bundle, by its path in it."""
    words = lay_out(CASES / name, root)
    monkeypatch.chdir(root)
    assert run_command(COMMAND, "bundle", *words, "-o", root / "bundle") == 0
    return {
        path.relative_to(root / "bundle").as_posix(): path.read_text(encoding="utf-8").replace(
            root.as_posix(), "{ROOT}"
        )
        for path in sorted((root / "bundle").rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_is_as_expected(name, tmp_path, monkeypatch):
    made = made_bundle(name, tmp_path, monkeypatch)
    expected = CASES / name / "expected"
    if os.environ.get(UPDATE):
        shutil.rmtree(expected, ignore_errors=True)
        for path, text in made.items():
            (expected / path).parent.mkdir(parents=True, exist_ok=True)
            (expected / path).write_text(text, encoding="utf-8")
    wanted = {
        path.relative_to(expected).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(expected.rglob("*"))
        if path.is_file()
    }
    assert made == wanted


@pytest.mark.parametrize("name", NAMES)
def test_the_template_is_one_by_the_specification(name):
    yaml = pytest.importorskip("yaml")
    data = yaml.safe_load((CASES / name / "expected/template.yaml").read_text(encoding="utf-8"))
    template = openjd_model.decode_job_template(template=data, supported_extensions=[])
    assert template.name == data["name"]
    assert not any("bash" in str(step) for step in data["steps"]), "a worker may run Windows"
