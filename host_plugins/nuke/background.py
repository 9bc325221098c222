"""Renders in a second Nuke, so that the first stays free.

The command is `nuke -t background.py task.json`: this file, as a script, executes Writes in a copy of the first Nuke's
script. The task is a file because Nuke interprets a frame range at the end of its command line.
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

OnEnd = Callable[[str], None]  # takes an error message; empty if there is none, `stopped` after stop()
INTERACTIVE = "-i"  # Foundry, "Command line operations": a render licence is taken for -t, an interactive one with -i


class SecondNuke:
    """A Nuke process that executes Writes of this script.

    It starts at once from a copy of the script, so the Writes may be deleted after that.

    Args:
        writes: the Writes.
        ranges: ranges of frames, each as first, last and increment.
        view: the view to render.
        interactive: whether it takes an interactive licence instead of a render licence.
        on_end: called at the end, on a thread of its own.

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
        self._process = self._start([*command, str(self._write_task(writes, ranges, view))])
        threading.Thread(target=self._wait, name="void-bridge-export", daemon=True).start()

    def stop(self) -> None:
        """Terminate the process; frames that are written stay."""
        self._stopped = True
        self._process.terminate()

    def _write_task(self, writes: List[nuke.Node], ranges: List[List[int]], view: str) -> Path:
        script = self._folder / "export.nk"
        nuke.scriptSave(script.as_posix())
        names = [write.fullName() for write in writes]
        task: Dict[str, Any] = {"script": script.as_posix(), "name": nuke.root().name(), "view": view}
        task.update(writes=names, ranges=ranges)
        path = self._folder / "task.json"
        path.write_text(json.dumps(task), encoding="utf-8")
        return path

    def _start(self, command: List[str]) -> subprocess.Popen[bytes]:
        quiet: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return subprocess.Popen(command, **quiet, **NO_WINDOW)
        except OSError as exc:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise InputError(f"cannot start {command[0]}: {exc.strerror or exc}; turn background export off") from exc

    def _wait(self) -> None:
        lines = self._process.communicate()[0].decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        shutil.rmtree(self._folder, ignore_errors=True)
        code = self._process.returncode
        error = "" if code == 0 else f"the second Nuke ended with exit code {code}; its last line: {lines[-1]}"
        self._on_end("stopped" if self._stopped else error)


def execute(task_file: str) -> None:
    """Render what a task file says; runs in the second Nuke."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    nuke.scriptOpen(task["script"])
    nuke.root()["name"].setValue(task["name"])  # expressions in file names use it
    nuke.root()["proxy"].setValue(False)
    writes = tuple(nuke.toNode(name) for name in task["writes"])
    nuke.executeMultiple(writes, tuple(task["ranges"]), [task["view"]])


if __name__ == "__main__":
    execute(sys.argv[-1])
