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
from typing import Callable, List

import nuke

from host_plugins.control.tools import NO_WINDOW

OnEnd = Callable[[str], None]  # empty, or what went wrong
INTERACTIVE = "-i"  # Foundry, "Command line operations": a render licence is taken for -t, an interactive one with -i


def start_export(writes: List[nuke.Node], ranges: List[List[int]], view: str, interactive: bool, on_end: OnEnd) -> None:
    """Have another Nuke execute Writes of this script. Returns at once; the Writes may be deleted then.

    Args:
        ranges: first, last and increment. interactive: take an interactive licence, not a render licence.
        on_end: called on a thread of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-export-"))
    script = folder / "export.nk"
    nuke.scriptSave(script.as_posix())
    names = [write.fullName() for write in writes]
    task = {"script": script.as_posix(), "writes": names, "ranges": ranges, "view": view}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    command = [nuke.EXE_PATH, *([INTERACTIVE] if interactive else []), "-t", __file__, str(folder / "task.json")]

    def work() -> None:
        try:
            on_end(_run(command))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    threading.Thread(target=work, name="void-bridge-export", daemon=True).start()


def _run(command: List[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, **NO_WINDOW)
    except OSError as exc:
        return f"cannot start {command[0]}: {exc.strerror or exc}"
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines() or ["nothing"]
    return "" if done.returncode == 0 else f"the second Nuke ended with code {done.returncode} and said: {said[-1]}"


def execute(task_file: str) -> None:
    """In the second Nuke: render what the task says."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    nuke.scriptOpen(task["script"])
    nuke.root()["proxy"].setValue(False)
    writes = tuple(nuke.toNode(name) for name in task["writes"])
    nuke.executeMultiple(writes, tuple(task["ranges"]), [task["view"]])


if __name__ == "__main__":
    execute(sys.argv[-1])
