"""The timeline script: the clip under the playhead, cleaned in its own Fusion composition, and back in the media pool.

Inside Resolve it is in the Scripts menu of the Edit page. From outside, with Resolve Studio:

    python -m host_plugins.resolve.timeline
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Tuple

from host_plugins.control.state import JobState
from host_plugins.resolve.choice import ROLES, ToolChoice
from host_plugins.resolve.graph import image_tools, mask_tools
from host_plugins.resolve.host import FusionHost, fusion_host
from host_plugins.resolve.message import tell
from host_plugins.resolve.outside import external_globals
from host_plugins.resolve.remove import show
from void_bridge.errors import UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Project, Resolve, TimelineItem

DRAW_A_MASK = (
    "draw a mask in the clip's Fusion composition first (Fusion page: a Polygon or B-Spline over the object), "
    "then run this script again"
)


def run(names: Mapping[str, Any]) -> None:
    """Show the window for the composition of the clip under the playhead.

    Raises:
        UsageError: no project, timeline or clip, or a composition without a mask.
    """
    resolve = names.get("resolve")
    if resolve is None:
        raise UsageError("this script needs Resolve; in Fusion Studio use VOID Remove")
    project, item = clip_under_playhead(resolve)
    host = fusion_host(names, composition_of(item))
    show(host, clip_choice(host.comp, item.GetName()), importer(project, host))


def clip_under_playhead(resolve: Resolve) -> Tuple[Project, TimelineItem]:
    """Raises UsageError: no project, no timeline, or no clip there."""
    project = resolve.GetProjectManager().GetCurrentProject()
    timeline = project.GetCurrentTimeline() if project is not None else None
    if project is None or timeline is None:
        raise UsageError("open a timeline first")
    item = timeline.GetCurrentVideoItem()
    if item is None:
        raise UsageError("there is no clip under the playhead; move it onto the clip that is to be cleaned")
    return project, item


def composition_of(item: TimelineItem) -> Composition:
    """The clip's first Fusion composition, made if it has none. Raises UsageError: Resolve makes none."""
    comp = item.GetFusionCompByIndex(1) if item.GetFusionCompCount() else item.AddFusionComp()
    if comp is None:
        raise UsageError(f"Resolve makes no Fusion composition for {item.GetName()}; make one on the Fusion page")
    return comp


def clip_choice(comp: Composition, clip: str) -> ToolChoice:
    """What comes in is the plate, the masks are the mattes. Raises UsageError: there is nothing to remove."""
    plates = [tool.Name for tool in image_tools(comp) if tool.ID == "MediaIn"]
    masks = [tool.Name for tool in mask_tools(comp)]
    if not plates:
        raise UsageError(f"the composition of {clip} has no MediaIn; use VOID Remove on the Fusion page")
    if not masks:
        raise UsageError(f"{clip} has nothing to remove: {DRAW_A_MASK}")
    return ToolChoice(plates[0], dict(zip(ROLES, masks)))


def importer(project: Project, host: FusionHost) -> Callable[[JobState, str], None]:
    """Puts finished frames into the media pool, once for each version."""
    known = set()

    def imported(state: JobState, pattern: str) -> None:
        if pattern in known:
            return
        known.add(pattern)
        found = project.GetMediaPool().ImportMedia([clip_info(pattern, FrameRange.parse(state.frames))])
        if not found:
            host.comp.Print(f"VOID Remove: Resolve did not import {pattern}; do it by hand in the media pool\n")

    return imported


def clip_info(pattern: str, frames: FrameRange) -> Dict[str, Any]:
    """A sequence as `MediaPool.ImportMedia` wants it."""
    sequence = Sequence.parse(pattern)
    path = f"{sequence.folder}{sequence.base}%0{sequence.digits}d{sequence.extension}"
    return {"FilePath": path, "StartIndex": frames.first, "EndIndex": frames.last}


def script(names: Mapping[str, Any]) -> None:
    """`run`, for a menu: what is wrong is said in words."""
    try:
        run(names)
    except VoidBridgeError as exc:
        tell(names, exc.message)


def main() -> int:
    """From a terminal. Returns the exit code."""
    try:
        run(external_globals())
    except VoidBridgeError as exc:
        sys.stderr.write(f"VOID Remove: {exc.message}\n")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
