"""`nuke -t script.py arguments`, for tests that start a second Nuke.

python -m tests.hosts.fake_nuke.terminal 17 [-i] -t script.py arguments...
"""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path
from typing import List

from tests.hosts.fake_nuke.session import FakeNuke

_REPOSITORY = Path(__file__).parents[3]


def write_executable(folder: Path, version: int = 17) -> str:
    """Make a file that can be started like Nuke's executable (not on Windows); returns its path."""
    path = folder / f"Nuke{version}.0"
    command = f"{shlex.quote(sys.executable)} -m {__name__} {version}"
    path.write_text(f'#!/bin/sh\ncd {shlex.quote(str(_REPOSITORY))} && exec {command} "$@"\n', "utf-8")
    path.chmod(0o755)
    return str(path)


def main(arguments: List[str]) -> None:
    """Run a script in a fresh session without an interface. Raises SystemExit: it isn't called with -t."""
    version, *words = arguments
    options = [word for word in words[:2] if word in ("-i", "-t")]
    if "-t" not in options or len(words) == len(options):
        raise SystemExit(f"the fake is started as nuke [-i] -t script.py arguments, got {words}")
    script, *rest = words[len(options) :]
    with FakeNuke(version=int(version), gui=False):
        sys.argv = [script, *rest]
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
