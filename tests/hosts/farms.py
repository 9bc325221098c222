"""Farms for tests of hosts: a fake of `void-bridge farm submit`, and the end of a job that openjd-cli really runs.

The fake is an executable in the place of the server's Python. It notes what it was called with, and answers as the
real command does; everything that is not `farm submit` goes on to the real void-bridge. Nothing is scheduled: frames
come when a test makes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from host_plugins.farm.processes import is_running
from tests.hosts import fake_farm_command
from tests.support.live_server import eventually

JOB = fake_farm_command.JOB
OPENJD_S = 240.0
_REPOSITORY = Path(__file__).parents[2]
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="the fake's executable is a script with a #! line")


class FakeFarm:
    """A fake of `void-bridge farm submit`. folder: holds its executable and its record of calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        executable = folder / "python-of-a-fake-farm"
        path = f"import sys\nsys.path.insert(0, {str(_REPOSITORY)!r})\n"
        run = f"from {fake_farm_command.__name__} import main\nmain({str(folder)!r})\n"
        executable.write_text(f"#!{sys.executable}\n{path}{run}", "utf-8")
        executable.chmod(0o755)
        monkeypatch.setenv("VOID_BRIDGE_EXECUTABLE", str(executable))

    def refuses(self, code: str, message: str) -> None:
        """Make the next submissions fail."""
        (self._folder / "refusal.json").write_text(json.dumps({"code": code, "message": message}), "utf-8")

    def makes_frames(self) -> None:
        """Render the frames of the next submissions at once, by the real `void-bridge remove`."""
        (self._folder / "makes_frames").touch()

    @property
    def calls(self) -> List[List[str]]:
        """The words of each submission, without `farm submit`."""
        path = self._folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def options(self) -> Dict[str, Any]:
        """Return the options of the only submission by name, flags as True, and its job.json files under `jobs`."""
        (words,) = self.calls
        found: Dict[str, Any] = {"jobs": [word for word in words if not word.startswith("--")]}
        for word in words:
            name, equals, value = word.partition("=")
            if word.startswith("--"):
                found[name[2:]] = value if equals else True
        return found


def until_openjd_has_ended(farm_job: str) -> None:
    """Wait for the end of the job, which is later than its frames. farm_job: `openjd <process>`."""
    farm, number = farm_job.split()
    assert farm == "openjd"
    assert eventually(lambda: not is_running(int(number)), OPENJD_S), f"process {number} has not ended"
