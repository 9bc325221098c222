"""The fake's module against the vendor's API as types-nuke 13.2.8.0 has it: nothing is offered that Nuke lacks."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import files
from typing import Dict, Iterator, List, Optional, Tuple

import pytest

from tests.hosts.fake_nuke import FakeNuke

# Functions with *args and **kwargs in the stubs say nothing about their parameters.
Signature = Optional[List[str]]
# The stubs' own misprint: Foundry's page of nuke.Panel has addBooleanCheckBox, as its example nukescripts.panel_test.
MISPRINTED = {("Panel", "addBooleanCheckBox"): "addbooleanCheckBox"}
MODULES = ("_nuke.pyi", "callbacks.pyi", "executeInMain.pyi", "overrides.pyi", "utils.pyi")


def stub_modules() -> Iterator[ast.Module]:
    for file in files("types-nuke") or ():
        if file.name in MODULES:
            yield ast.parse(file.read_text("utf-8"))


def parameters(function: ast.FunctionDef) -> Signature:
    """Return the names of the positional parameters; None if the stub takes anything."""
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        return None
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args)]


class Stubs:
    """functions: name -> its signatures. classes: name -> (bases, method -> signatures)."""

    def __init__(self) -> None:
        self.names: Dict[str, List[Signature]] = {}
        self.classes: Dict[str, Tuple[List[str], Dict[str, List[Signature]]]] = {}
        for module in stub_modules():
            for statement in module.body:
                self._take(statement)

    def _take(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef):
            self.names.setdefault(statement.name, []).append(parameters(statement))
        elif isinstance(statement, ast.ClassDef):
            methods: Dict[str, List[Signature]] = {}
            for each in statement.body:
                if isinstance(each, ast.FunctionDef):
                    methods.setdefault(each.name, []).append(parameters(each))
            self.classes[statement.name] = ([ast.unparse(base) for base in statement.bases], methods)
        elif isinstance(statement, (ast.AnnAssign, ast.Assign)):
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
            self.names.update({target.id: [None] for target in targets if isinstance(target, ast.Name)})

    def method(self, owner: str, name: str) -> Optional[List[Signature]]:
        """Return the signatures of a method, also of base classes; None if there is none."""
        if owner not in self.classes:
            return None
        bases, methods = self.classes[owner]
        found = methods.get(MISPRINTED.get((owner, name), name))
        inherited = (self.method(base.split("[")[0], name) for base in bases)
        return found if found is not None else next((each for each in inherited if each is not None), None)


@pytest.fixture(scope="module")
def stubs() -> Stubs:
    return Stubs()


@pytest.fixture
def nuke():
    with FakeNuke() as fake:
        yield fake.nuke


def public(thing: object) -> Dict[str, object]:
    return {name: value for name, value in vars(thing).items() if not name.startswith("_")}


def fits(function: object, signatures: List[Signature]) -> bool:
    """Return whether one of the stub's forms has the fake's parameters at their places, up to the shorter one's end."""
    mine = [
        each.name
        for each in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.name != "self"
    ]
    for signature in signatures:
        theirs = None if signature is None else [name for name in signature if name != "self"]
        if theirs is None or all(one == other for one, other in zip(mine, theirs)):
            return True
    return False


def test_every_function_and_class_is_the_vendors(nuke, stubs):
    known = {*stubs.names, *stubs.classes}
    assert [name for name in public(nuke) if name not in known] == []


def test_every_method_is_the_vendors(nuke, stubs):
    unknown = []
    for owner, cls in public(nuke).items():
        for base in cls.__mro__[:-1] if isinstance(cls, type) else ():
            methods = [name for name, value in public(base).items() if callable(value)]
            unknown += [f"{owner}.{name}" for name in methods if stubs.method(owner, name) is None]
    assert unknown == []


def test_parameters_of_functions_have_the_vendors_names(nuke, stubs):
    functions = {name: value for name, value in public(nuke).items() if inspect.isfunction(value)}
    assert len(functions) > 35
    assert [name for name, value in functions.items() if not fits(value, stubs.names[name])] == []


def test_parameters_of_methods_have_the_vendors_names(nuke, stubs):
    wrong = []
    for owner, cls in public(nuke).items():
        for name, value in public(cls).items() if isinstance(cls, type) else ():
            signatures = stubs.method(owner, name)
            if inspect.isfunction(value) and signatures is not None and not fits(value, signatures):
                wrong.append(f"{owner}.{name}{inspect.signature(value)} is {signatures}")
    assert wrong == []


def test_classes_derive_as_the_vendors_do(nuke, stubs):
    wrong = []
    for name, cls in public(nuke).items():
        if isinstance(cls, type) and name in stubs.classes:
            bases = stubs.classes[name][0]
            mine = {base.__name__ for base in cls.__mro__}
            wrong += [f"{name} is no {base}" for base in bases if base in stubs.classes and base not in mine]
    assert wrong == []


@pytest.mark.parametrize("planted", ["executeMultple", "Nodes2"])
def test_a_planted_name_is_found(nuke, stubs, planted):
    setattr(nuke, planted, nuke.execute)
    with pytest.raises(AssertionError):
        test_every_function_and_class_is_the_vendors(nuke, stubs)


def test_a_planted_method_and_parameter_are_found(nuke, stubs):
    class Group(nuke.Group):
        def node(self, name):
            """Take a parameter that the vendor calls `s`."""

        def nodez(self):
            """Return nothing; the vendor has no such method."""

    nuke.Group = Group
    with pytest.raises(AssertionError):
        test_every_method_is_the_vendors(nuke, stubs)
    with pytest.raises(AssertionError):
        test_parameters_of_methods_have_the_vendors_names(nuke, stubs)
