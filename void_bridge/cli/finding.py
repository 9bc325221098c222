"""What `void-bridge doctor` finds. Packages register checks of their own as entry points in `void_bridge.checks`:
functions without arguments that yield findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Literal

from void_bridge.cli.entries import registered
from void_bridge.errors import VoidBridgeError

GROUP = "void_bridge.checks"


@dataclass(frozen=True)
class Finding:
    """state: ok; note, which may be right for this machine; bad, which is not. fix: what to do about it."""

    name: str
    state: Literal["ok", "note", "bad"]
    detail: str
    fix: str = ""


def registered_findings() -> Iterator[Finding]:
    """What the registered checks find; a check that cannot be made is a finding too."""
    for name, entry in registered(GROUP).items():
        try:
            yield from entry.load()()
        except VoidBridgeError as exc:
            yield Finding(name, "bad", exc.message)
        except (ImportError, AttributeError) as exc:
            yield Finding(name, "note", f"cannot be checked: {exc}", "install void-bridge again")
