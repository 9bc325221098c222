"""The Reload button of a Read."""

from __future__ import annotations

from tests.hosts.fake_nuke.knobs import Knob


def press(knob: Knob) -> None:
    """Reload a Read. Raises AssertionError: the fake does not know another button."""
    read = knob._owner
    if read is None or read._spec.name != "Read" or knob._name != "reload":
        raise AssertionError(f"the fake does not know what the button {knob._name} does")
    read["version"].setValue(int(read["version"].value()) + 1)
