"""A worked example: a farm that takes text files with a command on each line.

In a package of your own, register it: `[project.entry-points."void_bridge.farms"]`, `lines = "mine:LineFarm"`.
"""

from __future__ import annotations

import shlex
from typing import ClassVar

from host_plugins.farm.backends import FarmReceipt, Say
from host_plugins.farm.bundle import Bundle
from host_plugins.farm.options import FarmOptions
from void_bridge.errors import UsageError


class LineFarm:
    """The farm `lines`. The lines of its tasks.txt may run at the same time, those of its checks.txt after them."""

    name: ClassVar[str] = "lines"
    summary: ClassVar[str] = "a text file of commands"
    loads_once: ClassVar[bool] = False

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Write the files. Raises UsageError for an option that this farm does not have."""
        if options.depends_on:
            raise UsageError("got --depends-on, which the farm lines does not have; submit the jobs in order")
        folder = ["--bundle", str(bundle.folder)]
        tasks = [["task", "--own-session", *folder, "--task", str(number)] for number in range(len(bundle.tasks()))]
        checks = [["check", *folder, "--shot", shot] for shot in bundle.shot_names()]
        files = []
        for name, commands in (("tasks.txt", tasks), ("checks.txt", checks)):
            path = bundle.folder / name
            lines = [shlex.join(["void-bridge", "farm", *words]) for words in commands]
            path.write_text("\n".join([*lines, ""]), encoding="utf-8")
            files.append(str(path))
        return FarmReceipt(str(bundle.folder), f"run the lines of {' and then of '.join(files)}", files=tuple(files))

    def missing_requirements(self) -> str:
        """Return an empty string: this farm needs nothing on the machine that submits."""
        return ""

    def status(self, id: str) -> str:
        """Return an empty string: this farm cannot be asked. `void-bridge farm status` reads the tasks' own files."""
        return ""
