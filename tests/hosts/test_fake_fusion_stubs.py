"""The plug-in, the stubs and the fake of Fusion agree, and every name in the stubs has a source."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.fake_fusion import comp, resolve, session, tools, windows

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = REPOSITORY / "typings" / "fusionscript.pyi"
FAKES = {
    name: cls
    for module in (comp, tools, windows, session, resolve)
    for name, cls in inspect.getmembers(module, inspect.isclass)
    if cls.__module__ == module.__name__
}
# Containers of handlers, whose attributes are named by the script.
_BY_NAME = {"Events", "WindowEvents", "DispatcherEvents"}


def stub_classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef)}


def members(cls: ast.ClassDef) -> dict[str, list[str] | None]:
    """Return the parameters of each method by its name; None for an attribute."""
    found: dict[str, list[str] | None] = {}
    for node in cls.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [each.arg for each in node.args.args[1:]]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = None
    return found


def public(cls: type) -> dict[str, object]:
    names = {name for base in cls.__mro__ for name in vars(base)} | set(getattr(cls, "settable", ()))
    return {name: inspect.getattr_static(cls, name, None) for name in names if name[0].isupper()}


@pytest.mark.parametrize("name", sorted(set(stub_classes()) - _BY_NAME))
def test_the_fake_has_the_members_of_the_stub(name):
    stub, fake = members(stub_classes()[name]), public(FAKES[name])
    assert set(fake) == set(stub)
    for member, parameters in stub.items():
        if parameters is not None:
            own = list(inspect.signature(fake[member]).parameters)[1:]
            assert own == parameters, f"{name}.{member}"


def test_the_fake_has_no_class_that_the_stub_lacks():
    api = {name for name, cls in FAKES.items() if any(each[0].isupper() for each in public(cls))}
    assert api <= set(stub_classes())


def test_every_line_of_the_stub_names_its_source():
    text = STUB.read_text()
    sources = set(re.findall(r"^# \[(\w)\]", text, re.MULTILINE))
    statements = re.findall(r"^    (?:def \w+\((?:[^()]|\([^()]*\))*\).*|[A-Z]\w*: .*)$", text, re.MULTILINE)
    assert len(statements) > 60
    for statement in statements:
        cited = re.findall(r"# .*?\[(\w)\]", statement)
        assert cited and set(cited) <= sources, statement


def test_mypy_holds_the_plug_in_to_the_stub(tmp_path):
    """Check copies with one typo each: mypy finds every typo and nothing else."""
    source = (REPOSITORY / "host_plugins" / "resolve" / "export.py").read_text()
    typos = {
        "method": ("self._comp.Render(", "self._comp.Rendr("),
        "type": ('saver.SetInput("Clip", ', "saver.SetInput(7, "),
    }
    for name, (right, wrong) in typos.items():
        assert source.count(right) == 1
        (tmp_path / f"with_{name}.py").write_text(source.replace(right, wrong))
    command = [sys.executable, "-m", "mypy", "--config-file", str(REPOSITORY / "pyproject.toml"), "--no-error-summary"]
    command += ["--follow-imports=silent", *map(str, sorted(tmp_path.glob("*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    errors = sorted(line for line in done.stdout.splitlines() if ": error:" in line)
    assert len(errors) == len(typos), done.stdout + done.stderr
    assert 'has no attribute "Rendr"' in errors[0] and "with_method.py" in errors[0]
    assert "SetInput" in errors[1] and "with_type.py" in errors[1]
