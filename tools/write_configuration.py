"""Writes docs/reference/configuration.md from the fields of void_bridge.config.Config and examples/hooks.py."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from unittest import mock

from tools.page import NOTE, REFERENCE, ROOT, detail, table
from void_bridge.config import OTHER_VARIABLES, PREFIX, Config

PAGE = REFERENCE / "configuration.md"
HOOKS = ROOT / "examples" / "hooks.py"
GROUPS = {
    "Client": "Read by commands and hosts that connect to a server.",
    "Jobs": "Read when a job is submitted. An option of the command, or a knob, wins.",
    "Server": "Read by `void-bridge serve`, and by clients that start a local server.",
    "Farm": "Read by `void-bridge farm` and by hosts that submit to a farm: see [Farm](../wranglers/farm.md).",
    "Hooks": "Python functions of the site, as `module:function`: see [below](#site-hooks).",
}
TYPES = {str: "text", Path: "folder", int: "whole number", float: "number", bool: "true or false"}
INTERNAL_VARIABLES = {
    "WORKER": "Set by the server for its workers: the number of the worker.",
}
FOREIGN_VARIABLES = {
    "OCIO": "OCIO config of plates, where `ocio` is empty.",
    "CUDA_VISIBLE_DEVICES": "The GPUs that workers may use.",
    "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR": "Folders of a user on Linux.",
    "APPDATA, LOCALAPPDATA, PROGRAMDATA, SYSTEMDRIVE": "Folders of a user and of the machine on Windows.",
    "NUKE_PATH": "Searched for a plug-in by `void-bridge install` and `doctor`.",
    "RESOLVE_SCRIPT_API, RESOLVE_SCRIPT_LIB": "Resolve's scripting library, for clips on a timeline.",
    "DEADLINE_PATH": "Folder of the Deadline 10 client.",
    "CUEBOT_HOSTS, CUEBOT_FACILITY, SHOW, SHOT, USER": "Read by OpenCue's own client, and so by the farm `opencue`.",
}
HEAD = f"""# Configuration

{NOTE}

A setting has one value, from the first of these sources that gives one:

1. the command line, or a knob
2. an environment variable: `VOID_BRIDGE_` and the key in capitals
3. the user file
4. the site file, for everybody at a site
5. the default

`void-bridge config show` prints every setting, its value, its source, and the paths of both files. An unknown key or a
value of a wrong type is an error that names the file and the nearest key.

## Files

Both files are TOML, with the keys below:

```toml
connect = "tcp://gpu1:5570"
spool_limit_gb = 200
path_map = ['P:\\=/mnt/projects', '/Volumes/projects=/mnt/projects']
locked = ["connect"]
```

| | Linux | macOS | Windows |
|---|---|---|---|
| user file | `~/.config/void-bridge/config.toml` | `~/Library/Application Support/void-bridge/config.toml` | \
`%APPDATA%\\void-bridge\\config.toml` |
| site file | `/etc/void-bridge/config.toml` | `/Library/Application Support/void-bridge/config.toml` | \
`%PROGRAMDATA%\\void-bridge\\config.toml` |

## Locked settings

The site file can lock any key: `locked = ["connect", "spool"]`. A locked key has the site file's value, or the default
if the file gives none. A user file, a variable or an option that gives another value is an error. In the user file
`locked` is an unknown key.

## Settings

The default folders are those of Linux. In a variable, the entries of a list are separated by `;`, and true is `1`,
`true`, `yes` or `on`.
"""
HOOKS_HEAD = """
## Site hooks

A hook is a function of a Python module on the Python path (`PYTHONPATH`, or installed in the same environment) of the
process that submits or fetches: the command line, Nuke, Resolve, or the farm worker. An error of `void_bridge.errors`
that a hook raises is shown as it is; any other error is reported with the hook's name as code `config`.

- `resolve_output(job)` is called before a job is submitted to a server or a farm. It returns the output pattern, or
  `None` to leave it. With this hook, `-o` may be left out.
- `before_submit(job)` is called next. It returns the job to submit in place of this one, or `None` to leave it. It
  raises an error to refuse the job.
- `after_result(job, paths, report)` is called when all frames of a job are on disk: after a fetch or, on a farm, at
  the end of the check task. Its result is ignored.

`job` is a `void_bridge.job.Job`, `paths` a list of `pathlib.Path`, and `report` the content of `report.json`. This is
`examples/hooks.py`, which the tests run:

```python
"""
VARIABLES_HEAD = """
## Environment variables

Each setting has a variable, in the tables above. These are all others:

"""


def configuration_page() -> str:
    """Return docs/reference/configuration.md."""
    parts = [HEAD, *(_group(name, text) for name, text in GROUPS.items())]
    parts += [HOOKS_HEAD, HOOKS.read_text(encoding="utf-8"), "```\n", VARIABLES_HEAD, _variables()]
    return "".join(parts)


def _group(name: str, text: str) -> str:
    """Return the table of a group of settings."""
    hints, defaults = get_type_hints(Config), _defaults()
    rows = []
    for spec in dataclasses.fields(Config):
        if spec.metadata["group"] == name:
            kind = _kind(hints[spec.name], spec.metadata["limits"])
            key = f"`{spec.name}`<br>`{PREFIX}{spec.name.upper()}`"
            default = f"default {defaults[spec.name]}" if defaults[spec.name] else "no default"
            rows.append((key, f"{spec.metadata['help']}{detail(kind, default)}"))
    return f"\n### {name}\n\n{text}\n\n" + table(("key and variable", "meaning"), rows)


def _kind(hint: Any, limits: tuple[float, float]) -> str:
    """Return the type of a setting in words."""
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    low, high = limits
    if hint not in TYPES:
        return "list"
    if low == -float("inf"):
        return TYPES[hint]
    return f"{TYPES[hint]}, {low:g} or more" if high >= 1e9 else f"{TYPES[hint]}, {low:g} to {high:g}"


def _defaults() -> dict[str, str]:
    """Return the default of each setting, as of a user on Linux."""
    user = {"HOME": "/~", "XDG_RUNTIME_DIR": "/run/user/UID", "LOGNAME": "login name"}
    with mock.patch.dict(os.environ, user, clear=True), mock.patch("sys.platform", "linux"):
        config = Config()
    return {spec.name: _text(getattr(config, spec.name)) for spec in dataclasses.fields(Config)}


def _text(value: Any) -> str:
    """Return a default as text."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value == "login name":
        return "the login name"
    text = f"{value:g}" if isinstance(value, float) else str(value or "") if value != 0 else "0"
    return f"`{text.replace('/~', '~')}`" if text else ""


def _variables() -> str:
    """Return the table of the variables that are no settings."""
    own = {**OTHER_VARIABLES, **INTERNAL_VARIABLES}
    rows = [(f"`{PREFIX}{name}`", text) for name, text in own.items()]
    rows += [(f"`{names.replace(', ', '`, `')}`", text) for names, text in FOREIGN_VARIABLES.items()]
    return table(("variable", "meaning"), rows)
