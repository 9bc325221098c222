"""Checks that a public class name stands for one class in the three packages. Part of `make check`."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("void_bridge", "gpu_server", "host_plugins")


def public_classes() -> dict[str, list[str]]:
    """Return the places, as `file:line`, of every public class by its name."""
    places = defaultdict(list)
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return places


def main() -> int:
    """Print each name that stands for several classes and return the exit code."""
    repeated = {name: places for name, places in public_classes().items() if len(places) > 1}
    for name, places in repeated.items():
        print(f"{name} is defined {len(places)} times: {', '.join(places)}; give each class a name of its own")
    return 1 if repeated else 0


if __name__ == "__main__":
    sys.exit(main())
