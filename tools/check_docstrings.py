"""Checks the first words of docstrings. Part of `make check`, beside ruff's pydocstyle rules.

A function starts with a verb of `verbs.txt`, a class with a noun phrase, a property with either. First words such as
"What" or "Where", and pronouns without a subject, are refused everywhere. Usage: `check_docstrings.py [PATH ...]`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("void_bridge", "gpu_server", "host_plugins", "tools", "examples")
VERBS = frozenset((HERE / "verbs.txt").read_text(encoding="utf-8").split())
NO_SUBJECT = re.compile(
    "What|Who|Whose|Whom|Which|Where|When|Why|How|As|At|By|For|From|In|Into|Of|On|Onto|Until|Through|To|Under|Upon|With"
    "|Within|Without|While|Because|Since|Nobody|Nothing|Somebody|Something|Whatever|Whoever|Those|Its"
)
RIDDLES = re.compile(r"\b(nobody|somebody|whatever|whoever|whichever)\b", re.IGNORECASE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def faults(path: Path) -> Iterator[str]:
    """Yield one line for each docstring of a Python file that breaks a rule."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            continue
        text = ast.get_docstring(node)
        if text and (fault := fault_of(node, text)):
            yield f"{path}:{getattr(node, 'lineno', 1)}: {fault}"


def fault_of(node: ast.AST, text: str) -> str:
    """Return the rule that a docstring breaks, or an empty string."""
    first = re.split(r"[\s,.:;]", text, maxsplit=1)[0]
    if riddle := RIDDLES.search(text):
        return f"docstring says {riddle[0]!r}; name the subject"
    if NO_SUBJECT.fullmatch(first):
        return f"docstring starts with {first!r}; start with a verb (functions) or a noun phrase (classes)"
    if isinstance(node, FUNCTIONS) and not is_property(node) and first not in VERBS:
        return f"docstring starts with {first!r}; start with a verb such as 'Return' (or add it to tools/verbs.txt)"
    if isinstance(node, ast.ClassDef) and (first in VERBS or not first[:1].isalnum()):
        return f"docstring starts with {first!r}; start with a noun phrase"
    return ""


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is read like an attribute."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"property", "cached_property", "abstractproperty", "getter"})


def main(arguments: list[str]) -> int:
    """Check the given files and folders, or all packages, and return the exit code."""
    roots = [Path(argument) for argument in arguments] or [HERE.parent / package for package in PACKAGES]
    files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    lines = [line for path in files for line in faults(path)]
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
