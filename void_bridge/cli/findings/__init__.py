"""What the doctor looks at, a module for each kind. Checks of what other packages own are registered by them."""

import functools
import threading
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Callable, Iterable, Iterator, List, Literal

from void_bridge.entry_points import find_entry_points
from void_bridge.errors import VoidBridgeError

GROUP = "void_bridge.checks"
PATIENCE_S = 5.0
_REGISTERED_S = 20.0  # they may ask programs, which have limits of their own


@dataclass(frozen=True)
class Finding:
    """state: ok; note, which may be right for this machine; bad, which is not. fix: what to do about it."""

    name: str
    state: Literal["ok", "note", "bad"]
    detail: str
    fix: str = ""


def registered_findings() -> Iterator[Finding]:
    """What the registered checks find; a check that cannot be made is a finding too."""
    for name, entry in find_entry_points(GROUP).items():
        yield from run_check(name, functools.partial(_registered, entry), limit_s=_REGISTERED_S)


def _registered(entry: EntryPoint) -> Iterable[Finding]:
    found: Iterable[Finding] = entry.load()()
    return found


def run_check(
    name: str, look: Callable[[], Iterable[Finding]], fix: str = "", limit_s: float = PATIENCE_S
) -> List[Finding]:
    """What `look` finds. That it fails, or takes too long, is a finding too: a disk that stalls must not hold us up.

    Args:
        name, fix: of that finding. limit_s: after so long it is left to itself, in a thread that keeps nobody alive.
    """
    found: List[Finding] = []
    thread = threading.Thread(target=_look, args=(name, look, found), name=f"doctor {name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    so_far = list(found)
    if thread.is_alive():
        so_far.append(Finding(name, "bad", f"does not answer in {limit_s:g} s", fix or "a disk or a driver stalls"))
    return so_far


def _to_install(exc: Exception) -> str:
    """A client alone has no packages of a server, and its Python may be too old for one."""
    missing = (getattr(exc, "name", None) or "void_bridge").partition(".")[0]
    if missing in ("void_bridge", "gpu_server", "host_plugins"):
        return "install void-bridge again"
    return "nothing, on a client; a server needs Python 3.11 or later and pip install 'void-bridge[server]'"


def _look(name: str, look: Callable[[], Iterable[Finding]], found: List[Finding]) -> None:
    try:
        found.extend(iter(look()))
    except VoidBridgeError as exc:
        found.append(Finding(name, "bad", exc.message))
    except (ImportError, AttributeError) as exc:
        found.append(Finding(name, "note", f"cannot be checked: {exc}", _to_install(exc)))
    except OSError as exc:
        found.append(Finding(name, "bad", f"{exc.filename or name}: {exc.strerror or exc}"))
    except Exception as exc:  # one check must not take the others with it
        found.append(Finding(name, "note", f"cannot be checked: {type(exc).__name__}: {exc}"))
