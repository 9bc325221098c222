"""Export in a second Nuke, so that the first stays free.

It runs `nuke -t background.py task.json`: this file, as a script, executes the Writes that the first Nuke has put into
a copy of its script. The task is a file because Nuke takes a frame range at the end of its command line for itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List

import nuke

from host_plugins.control.tools import NO_WINDOW
from void_bridge.errors import InputError

OnEnd = Callable[[str], None]  # empty, or what went wrong
INTERACTIVE = "-i"  # Foundry, "Command line operations": a render licence is taken for -t, an interactive one with -i


class SecondNuke:
    """A Nuke that executes Writes of this script. It is started at once; the Writes may be deleted then.

    Args:
        ranges: first, last and increment. interactive: take an interactive licence, not a render licence.
        on_end: called on a thread of its own.

    Raises:
        InputError: it cannot be started.
    """

    def __init__(
        self, writes: List[nuke.Node], ranges: List[List[int]], view: str, interactive: bool, on_end: OnEnd
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="void-bridge-export-"))
        self._on_end = on_end
        self._stopped = False
        command = [nuke.EXE_PATH, *([INTERACTIVE] if interactive else []), "-t", __file__]
        self._process = self._started([*command, str(self._task(writes, ranges, view))])
        threading.Thread(target=self._wait, name="void-bridge-export", daemon=True).start()

    def stop(self) -> None:
        """End it; frames that are written stay."""
        self._stopped = True
        self._process.terminate()

    def _task(self, writes: List[nuke.Node], ranges: List[List[int]], view: str) -> Path:
        script = self._folder / "export.nk"
        nuke.scriptSave(script.as_posix())
        names = [write.fullName() for write in writes]
        task: Dict[str, Any] = {"script": script.as_posix(), "name": nuke.root().name(), "view": view}
        task.update(writes=names, ranges=ranges)
        path = self._folder / "task.json"
        path.write_text(json.dumps(task), encoding="utf-8")
        return path

    def _started(self, command: List[str]) -> subprocess.Popen[bytes]:
        quiet: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return subprocess.Popen(command, **quiet, **NO_WINDOW)
        except OSError as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise InputError(f"cannot start {command[0]}: {exc.strerror or exc}; turn background export off") from exc

    def _wait(self) -> None:
        said = self._process.communicate()[0].decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        shutil.rmtree(self._folder, ignore_errors=True)
        code = self._process.returncode
        words = "" if code == 0 else f"the second Nuke ended with code {code} and said: {said[-1]}"
        self._on_end("stopped" if self._stopped else words)


def execute(task_file: str) -> None:
    """In the second Nuke: render what the task says."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    nuke.scriptOpen(task["script"])
    nuke.root()["name"].setValue(task["name"])  # expressions in file names look at it
    nuke.root()["proxy"].setValue(False)
    writes = tuple(nuke.toNode(name) for name in task["writes"])
    nuke.executeMultiple(writes, tuple(task["ranges"]), [task["view"]])


if __name__ == "__main__":
    execute(sys.argv[-1])
