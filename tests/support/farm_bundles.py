"""Small job bundles over made EXR sequences, and farms' programs that are fakes: they write down their arguments."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from host_plugins.farm.assets import assets_of
from host_plugins.farm.bundle import Bundle, write_bundle
from host_plugins.farm.command import COMMAND
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.shots import plan_shots
from tests.support.shots import disc, make_job, write_matte, write_plate

SHAPE = (8, 12)


def farm_bundle(folder: Path, options: FarmOptions | None = None, shots: dict | None = None) -> Bundle:
    """Write `<folder>/bundle` of shots: name -> frames, or (frames, engine); by default one, cut by `chunk`."""
    options = options or FarmOptions()
    jobs = [
        (name, shot_job(folder / f"in {name}", shot)) for name, shot in (shots or {"sh010": range(1001, 1007)}).items()
    ]
    planned = plan_shots(jobs, options)
    return write_bundle(folder / "bundle", planned, assets_of(planned), options)


def shot_job(folder: Path, shot):
    frames, engine = shot if isinstance(shot, tuple) else (shot, "propagate")
    folder.mkdir(parents=True)
    plate = write_plate(folder, frames, SHAPE)
    matte = write_matte(folder, frames, disc(SHAPE, (4, 5), 2))
    return make_job(plate, frames, matte, engine=engine).replace(output=str(folder / "clean" / "clean.####.exr"))


def fake_program(path: Path, answers: list) -> Path:
    """Write a fake program. Its N-th run prints the text of answers[N] and exits with its code; every run is
    written to `<path>.calls`, one list of arguments a line. Returns that file.
    """
    calls = path.with_suffix(".calls")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "from pathlib import Path\n"
        f"calls, answers = Path({str(calls)!r}), json.loads({json.dumps(json.dumps(answers))})\n"
        "before = calls.read_text('utf-8').splitlines() if calls.exists() else []\n"
        "calls.write_text('\\n'.join([*before, json.dumps(sys.argv[1:])]) + '\\n', 'utf-8')\n"
        "text, code = answers[len(before)]\n"
        "sys.stdout.buffer.write(text.encode('utf-8'))\n"
        "sys.exit(code)\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return calls


def calls_in(calls: Path) -> list[list[str]]:
    return [json.loads(line) for line in calls.read_text("utf-8").splitlines()]


def as_worker_reads(words: list[str]) -> argparse.Namespace:
    """Parse a farm's command as the command line of VOID Bridge does."""
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    assert words[0] == "farm"
    return parser.parse_args(words[1:])
