"""Writes docs/reference/python.md: examples/api_*.py, and a place for each name that `void_bridge` exports.

mkdocstrings fills the places from the docstrings when the site is built.
"""

from __future__ import annotations

import ast
import inspect

import void_bridge
from tools.page import NOTE, REFERENCE, ROOT

PAGE = REFERENCE / "python.md"
EXAMPLES = sorted((ROOT / "examples").glob("api_*.py"), key=lambda path: path.stat().st_size)
HEAD = f"""# Python

{NOTE}

```python
import void_bridge

result = void_bridge.remove("plate.####.exr", "clean/", remove="roto.####.exr:A")
print(result.frames, result.paths[0], result.report)
```

The functions do what the [commands](commands.md) of the same names do, with the same defaults: the server, the OCIO
config and the site's hooks come from the [configuration](configuration.md), the colour space from the plate, and the
exposure is measured. They are typed, and run on Python 3.9 and later.

| function | command | returns |
|---|---|---|
| `remove` | `void-bridge remove` | the frames on disk and the report |
| `submit` | `void-bridge submit` | the job's status, with its id |
| `watch` | `void-bridge watch` | an iterator over the job's states |
| `fetch` | `void-bridge fetch` | the frames on disk and the report |
| `status`, `jobs`, `cancel` | the same | the status of a job, or of several |

## Text or types

| argument | text | types |
|---|---|---|
| `plate` | `"plate.####.exr"`, `"clean/job.json"` | `Path`, `Sequence`, `Job` |
| `output` | `"clean/"`, `"clean.####.exr"` | `Path` |
| `remove` and the other mattes | `"roto.####.exr"`, `"roto.####.exr:layer.A"` | `Path`, `Sequence`, `MatteSource` |
| `frames` | `"1001-1046"`, `"1-9x2,20"` | a number, a `range` or other numbers, `FrameRange` |
| `colorspace` | `"ACEScg"` | `Colour`, with which no OpenColorIO is needed |
| `job` of `watch`, `fetch`, `status`, `cancel` | an id, `"clean/job.json"`, `"clean/"` | `Path`, `JobStatus` |

The other mattes are `affected`, `keep`, `exclude` and `quadmask`. `MatteSource("roto.####.exr", "A", invert=True)`
inverts a matte. All other [options of a job](options.md) are keywords
of `remove` and `submit`, with `_` for `-`: `handles=8`, `condition_dilate=2`, `grain=False`, `exposure=None` for
`auto`. The text of an option is read as on the command line, so that `canvas="672x384"` is a width and a height, and
`seed="12"` a number. The text of `priority` and `autostart` is read as in the environment: `priority="5"`,
`autostart="off"`.

An argument of a wrong type raises `UsageError`, which names it, before a server is asked. An unknown keyword
raises Python's `TypeError` in functions that take no options; `remove` and `submit` raise `UsageError`:

```text
frames: got 3.5, expected a range such as '1001-1046', or whole numbers
got an unknown option 'feater'; did you mean 'feather'?
```

## Progress, and cancelling

`on_progress` is called with a `RemovalProgress` while files are hashed and sent, and then at most five times a second.
`on_frame` is called with the number and the path of each frame that was written, possibly from another thread.
Ctrl-C during `remove` cancels the job. So does an exception in a callback, unless it is a `VoidBridgeError` other than
`Cancelled`; `remove` then raises it again. Ctrl-C during `fetch` or `watch` leaves the job alone.

## Errors

Each function raises a subclass of `void_bridge.VoidBridgeError`; [Errors](errors.md) lists them all. A job that failed
raises the error that it failed with, such as `OutOfMemory`, and a cancelled one raises `Cancelled`. Frames that were
finished before are on disk. Messages name the options of the command line: `-o` is `output`, and `--overwrite` is
`overwrite=True`.

```python
from void_bridge.errors import NoServer, OutOfMemory
```

## Without numpy

`import void_bridge` imports no other package, and the functions need none but those of the base install. To find the
colour of a plate, and to measure its exposure, they need `void-bridge[server]`; inside a host, give `remove` a
job.json, a `Job`, or a `Colour`.
"""
MEMBERS_LEFT_OUT = "    options:\n      members: []\n"


def python_page() -> str:
    """Return docs/reference/python.md."""
    names = [name for name in getattr(void_bridge, "__all__", ()) if not name.startswith("_")]
    exported = {name: getattr(void_bridge, name) for name in names}
    functions = {name: value for name, value in exported.items() if inspect.isfunction(value)}
    parts = [HEAD]
    if EXAMPLES:
        parts.append("\n## Examples\n")
    for path in EXAMPLES:
        code = path.read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(code)) or path.stem).partition("\n")[0].rstrip(".")
        parts.append(f"\n### {title}\n\n`examples/{path.name}`:\n\n```python\n{code}```\n")
    parts.append("\n## Functions\n")
    for name in sorted(functions, key=lambda name: functions[name].__code__.co_firstlineno):
        parts.append(f"\n::: void_bridge.{name}\n")
    parts.append("\n## Classes\n")
    parts += [f"\n::: void_bridge.{name}\n{MEMBERS_LEFT_OUT}" for name in exported if name not in functions]
    return "".join(parts)
