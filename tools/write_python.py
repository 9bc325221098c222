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

The functions take the same values as the [command line](commands.md#remove), and have the same defaults. Sequences,
mattes and frame ranges are text, or values of the classes below. A function that fails raises one of the
[errors](errors.md).
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
