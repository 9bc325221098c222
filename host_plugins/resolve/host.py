"""What Fusion gives to a script: the application, the composition, the window manager, and Resolve where that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Optional

from void_bridge.errors import UsageError

if TYPE_CHECKING:
    from fusionscript import Bmd, Composition, Fusion, Resolve, UIManager


@dataclass(frozen=True)
class FusionHost:
    """resolve: None in Fusion Studio. bmd: None where there is no window manager."""

    fusion: Fusion
    comp: Composition
    bmd: Optional[Bmd] = None
    resolve: Optional[Resolve] = None

    @property
    def ui(self) -> Optional[UIManager]:
        """The window manager, where this version and edition has one."""
        return getattr(self.fusion, "UIManager", None) if self.bmd is not None else None

    @property
    def name(self) -> str:
        """What a report calls this host: its product and version."""
        if self.resolve is not None:
            return f"DaVinci Resolve {self.resolve.GetVersionString()}"
        return f"Fusion {self.fusion.GetAttrs().get('FUSIONS_Version', '')}".strip()

    def is_alive(self) -> bool:
        """Whether the composition is still open: the handle of one that was closed answers nothing any more."""
        try:
            return bool(self.comp.GetAttrs())
        except Exception:  # what a dead handle raises depends on the version
            return False


def fusion_host(names: Mapping[str, Any], comp: Optional[Composition] = None) -> FusionHost:
    """From the globals of a script, whichever menu it was started from.

    Args:
        comp: to work in; default: the one that the script was started for.

    Raises:
        UsageError: no Fusion, or no composition is open.
    """
    resolve = names.get("resolve")
    fusion = names.get("fu") or names.get("fusion") or (resolve.Fusion() if resolve else None)
    if fusion is None:
        raise UsageError("this script needs Fusion; start it from Fusion's or Resolve's Scripts menu")
    chosen = comp or names.get("comp") or names.get("composition") or fusion.GetCurrentComp()
    if chosen is None:
        raise UsageError("no composition is open; open one, or use the timeline script on a clip")
    return FusionHost(fusion, chosen, names.get("bmd"), resolve)
