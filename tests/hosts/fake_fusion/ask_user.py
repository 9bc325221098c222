"""`comp.AskUser`: checks the controls of a dialog and takes the answer from a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

if TYPE_CHECKING:
    from tests.hosts.fake_fusion.session import FakeFusion

# Options by type of control: Fusion 8 Scripting Guide, Composition.AskUser.
_COMMON = {1, 2, "Name", "Default"}
_OPTIONS: Dict[str, set[Any]] = {
    "Text": {"Lines", "Wrap", "ReadOnly"},
    "FileBrowse": {"Save"},
    "PathBrowse": {"Save"},
    "Checkbox": {"NumAcross"},
    "Screw": {"Min", "Max", "Integer"},
    "Slider": {"Min", "Max", "Integer"},
    "Dropdown": {"Options"},
}


def ask_user(session: FakeFusion, title: str, controls: Mapping[int, Mapping[Any, Any]]) -> Optional[Dict[str, Any]]:
    """Check a dialog and return the next answer of the test.

    `session.answers` holds values by name, which replace defaults, functions that return such values for the dialog, or
    None for Cancel.
    """
    assert list(controls) == list(range(1, len(controls) + 1)), "controls are numbered from 1"
    dialog = {str(control[1]): _checked(control) for control in controls.values()}
    assert len(dialog) == len(controls), "two controls have the same name"
    session.dialogs.append((title, {name: dict(control) for name, control in dialog.items()}))
    assert session.answers, f"the test has no answer for the dialog {title!r}: {list(dialog)}"
    answer = session.answers.pop(0)
    answer = answer(dialog) if callable(answer) else answer
    if answer is None:
        return None
    unknown = set(answer) - set(dialog)
    assert not unknown, f"the dialog has no {unknown}"
    return {name: _value(control, answer.get(name)) for name, control in dialog.items()}


def _checked(control: Mapping[Any, Any]) -> Mapping[Any, Any]:
    kind = control[2]
    unknown = set(control) - _COMMON - _OPTIONS[kind]
    assert not unknown, f"{kind} has no options {unknown}"
    if kind == "Dropdown":
        options = control["Options"]
        assert list(options) == list(range(1, len(options) + 1)), "options are numbered from 1"
        assert 0 <= control["Default"] < len(options), "the default counts from 0"
    return control


def _value(control: Mapping[Any, Any], answer: Any) -> Any:
    """Return a control's value: numbers as floats, the entry of a dropdown as its index from 0."""
    value = control.get("Default", "") if answer is None else answer
    if control[2] == "Dropdown" and isinstance(value, str):
        texts = list(control["Options"].values())
        assert value in texts, f"{control[1]} offers {texts}, got {value!r}"
        value = texts.index(value)
    return value if isinstance(value, str) else float(value)
