"""Writes docs/reference/errors.md from the classes of void_bridge/errors.py."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from tools.page import NOTE, REFERENCE, table
from void_bridge.errors import VoidBridgeError

PAGE = REFERENCE / "errors.md"
EXIT_CODES = {
    0: "The command has done its work.",
    1: "The job, the server or the machine failed.",
    2: "An option, a setting, an input or an output is wrong.",
    3: "No server answers, or one of another version.",
    130: "The command or its job was cancelled.",
}
TITLES = {
    "usage": "Options and configuration",
    "input": "Input of a job",
    "output": "Output of a job",
    "server": "The server",
    "engine": "The engine",
}
HEAD = f"""# Errors

{NOTE}

A message is one line: the value got, the value expected, and what to do. Each error also has a code, which does not
change between versions. It is in the line of JSON that a command prints under `--json`, in the state of a failed job,
and on the [wire](protocol.md#errors). In Python each code is a class of `void_bridge.errors`. The first error of each
section is the base class of the others: `except InputError` catches `missing_frames`, too.

## Exit codes

"""


def errors_page() -> str:
    """Return docs/reference/errors.md."""
    groups = VoidBridgeError.__subclasses__()
    codes = table(("exit code", "meaning"), ((f"`{code}`", text) for code, text in EXIT_CODES.items()))
    parts = [_group(TITLES[group.code], (group, *group.__subclasses__())) for group in groups if group.code in TITLES]
    others = [group for group in groups if group.code not in TITLES]
    return HEAD + codes + "".join(parts) + _group("Other", others)


def _group(title: str, classes: Iterable[type[VoidBridgeError]]) -> str:
    """Return a section of the page."""
    return f"\n## {title}\n" + "".join(_entry(cls) for cls in classes)


def _entry(cls: type[VoidBridgeError]) -> str:
    """Return the lines of one error."""
    meaning, _, remedy = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    name = f"`{cls.__name__}` · exit code {cls.exit_code}"
    return f"\n### `{cls.code}`\n{meaning}\n\n**Do this:** {' '.join(remedy.split())}\n\n{name}\n{{ .detail }}\n"
