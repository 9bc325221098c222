"""The worked example of a farm: its files hold a command for each task of a bundle."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from examples.farm import LineFarm
from host_plugins.farm.assets import assets_of
from host_plugins.farm.bundle import write_bundle
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.shots import plan_shots
from tests.support.shots import disc, make_job, write_matte, write_plate
from void_bridge.cli.main import command_parser
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import UsageError

FRAMES = range(1001, 1011)


@pytest.fixture
def bundle(tmp_path):
    plate = write_plate(tmp_path / "plates", FRAMES, (16, 24))
    roto = write_matte(tmp_path / "plates", FRAMES, disc((16, 24), (8, 8), 4))
    job = make_job(plate, FRAMES, roto, engine="propagate").replace(output=str(tmp_path / "out/clean.####.exr"))
    options = FarmOptions(chunk=5)
    shots = plan_shots([("a", job)], options)
    return write_bundle(tmp_path / "bundle", shots, assets_of(shots), options)


def test_each_line_is_a_command_for_one_task(bundle):
    receipt = LineFarm().submit(bundle, FarmOptions(), print)
    tasks, checks = [
        [shlex.split(line) for line in Path(path).read_text(encoding="utf-8").splitlines()] for path in receipt.files
    ]
    assert [words[-1] for words in tasks] == ["0", "1"] and [words[-1] for words in checks] == ["a"]
    parser = command_parser([find_entry_points("void_bridge.commands")["farm"]], skip_missing=False)
    assert all(parser.parse_args(words[1:]).bundle for words in [*tasks, *checks])


def test_an_option_that_the_farm_does_not_have_is_refused(bundle):
    with pytest.raises(UsageError, match="--depends-on"):
        LineFarm().submit(bundle, FarmOptions(depends_on=("7",)), print)
