"""The timeline script: the clip under the playhead, cleaned in its own Fusion composition, and back in the media pool.

Inside Resolve it is in the Scripts menu of the Edit page. From outside, with Resolve Studio:

    python -m host_plugins.resolve.timeline
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Tuple

from host_plugins.control.state import JobState
from host_plugins.resolve.choice import ROLES, ToolChoice
from host_plugins.resolve.graph import image_tools, mask_tools
from host_plugins.resolve.host import FusionHost, fusion_host, run_from_menu
from host_plugins.resolve.remove import show
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Project, Resolve, TimelineItem

DRAW_A_MASK = (
    "draw a mask in the clip's Fusion composition first (Fusion page: a Polygon or B-Spline over the object), "
    "then run this script again"
)
# Developer/Scripting and the library, by platform: Resolve's Developer/Scripting/README.txt, "Using a script".
_DEFAULT_PATHS: Dict[str, Tuple[str, str]] = {
    "linux": ("/opt/resolve/Developer/Scripting", "/opt/resolve/libs/Fusion/fusionscript.so"),
    "darwin": (
        "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting",
        "/Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Libraries/Fusion/fusionscript.so",
    ),
    "win32": (
        "%PROGRAMDATA%/Blackmagic Design/DaVinci Resolve/Support/Developer/Scripting",
        "C:/Program Files/Blackmagic Design/DaVinci Resolve/fusionscript.dll",
    ),
}
API, LIB = "RESOLVE_SCRIPT_API", "RESOLVE_SCRIPT_LIB"  # environment variables of Resolve


def run(names: Mapping[str, Any]) -> None:
    """Show the window for the composition of the clip under the playhead.

    Args:
        names: the globals of the script.

    Raises:
        UsageError: there is no project, timeline or clip, or the composition has no mask.
    """
    resolve = names.get("resolve")
    if resolve is None:
        raise UsageError("this script needs Resolve; in Fusion Studio use VOID Remove")
    project, item = clip_under_playhead(resolve)
    host = fusion_host(names, composition_of(item))
    show(host, clip_choice(host.comp, item.GetName()), media_pool_importer(project, host))


def clip_under_playhead(resolve: Resolve) -> Tuple[Project, TimelineItem]:
    """Return the current project and the clip under the playhead of its timeline.

    Raises:
        UsageError: there is no project, timeline or clip.
    """
    project = resolve.GetProjectManager().GetCurrentProject()
    timeline = project.GetCurrentTimeline() if project is not None else None
    if project is None or timeline is None:
        raise UsageError("open a timeline first")
    item = timeline.GetCurrentVideoItem()
    if item is None:
        raise UsageError("there is no clip under the playhead; move it onto the clip that contains the object")
    return project, item


def composition_of(item: TimelineItem) -> Composition:
    """Return the clip's first Fusion composition, which is added if there is none.

    Raises:
        UsageError: Resolve did not add one.
    """
    comp = item.GetFusionCompByIndex(1) if item.GetFusionCompCount() else item.AddFusionComp()
    if comp is None:
        raise UsageError(f"Resolve created no Fusion composition for {item.GetName()}; create one on the Fusion page")
    return comp


def clip_choice(comp: Composition, clip: str) -> ToolChoice:
    """Return the MediaIn of a clip's composition as the plate and its masks as the mattes.

    Args:
        comp: the composition.
        clip: the name of the clip, for errors.

    Raises:
        UsageError: there is no MediaIn or no mask.
    """
    plates = [tool.Name for tool in image_tools(comp) if tool.ID == "MediaIn"]
    masks = [tool.Name for tool in mask_tools(comp)]
    if not plates:
        raise UsageError(f"the composition of {clip} has no MediaIn; use VOID Remove on the Fusion page")
    if not masks:
        raise UsageError(f"{clip} has nothing to remove: {DRAW_A_MASK}")
    return ToolChoice(plates[0], dict(zip(ROLES, masks)))


def media_pool_importer(project: Project, host: FusionHost) -> Callable[[JobState, str], None]:
    """Return a function that imports a job's files into the media pool, each version once."""
    imported = set()

    def import_files(state: JobState, pattern: str) -> None:
        if pattern in imported:
            return
        imported.add(pattern)
        clips = project.GetMediaPool().ImportMedia([clip_info(pattern, FrameRange.parse(state.frames))])
        if not clips:
            host.comp.Print(f"VOID Remove: Resolve did not import {pattern}; import it in the media pool\n")

    return import_files


def clip_info(pattern: str, frames: FrameRange) -> Dict[str, Any]:
    """Return a sequence as an argument of `MediaPool.ImportMedia`."""
    sequence = Sequence.parse(pattern)
    path = f"{sequence.folder}{sequence.base}%0{sequence.digits}d{sequence.extension}"
    return {"FilePath": path, "StartIndex": frames.first, "EndIndex": frames.last}


def script(names: Mapping[str, Any]) -> None:
    """Run the script of the menu, and show its error as a message.

    Args:
        names: the globals of the script.
    """
    run_from_menu(names, run)


def scripting_paths(environment: Mapping[str, str], platform: str) -> Tuple[str, str]:
    """Return the folder of Resolve's scripting modules and its library.

    Args:
        environment: may name them in the variables API and LIB.
        platform: as `sys.platform`, for the default paths.
    """
    api, lib = _DEFAULT_PATHS.get(platform, _DEFAULT_PATHS["linux"])
    api = api.replace("%PROGRAMDATA%", environment.get("PROGRAMDATA", "C:/ProgramData"))
    return environment.get(API) or api, environment.get(LIB) or lib


def external_globals() -> Dict[str, Any]:
    """Connect to a running Resolve Studio and return what a script inside it has as globals.

    Raises:
        InputError: Resolve's module is not installed or cannot be loaded, or Resolve does not answer.
    """
    api, lib = scripting_paths(os.environ, sys.platform)
    modules = Path(api) / "Modules"
    if not modules.is_dir():
        raise InputError(f"found no {modules}; install Resolve Studio, or set {API}")
    os.environ.setdefault(API, api)
    os.environ.setdefault(LIB, lib)
    if str(modules) not in sys.path:
        sys.path.append(str(modules))
    try:
        bmd = importlib.import_module("DaVinciResolveScript")
    except ImportError as exc:
        raise InputError(f"cannot load Resolve's module: {exc}; check that {lib} is built for this Python") from exc
    resolve = bmd.scriptapp("Resolve")
    if resolve is None:
        raise InputError(
            "Resolve does not answer; start Resolve Studio, and allow external scripting in its system preferences"
        )
    return {"resolve": resolve, "fusion": resolve.Fusion(), "bmd": bmd}


def main() -> int:
    """Run the script from a terminal and return the exit code."""
    try:
        run(external_globals())
    except VoidBridgeError as exc:
        sys.stderr.write(f"VOID Remove: {exc.message}\n")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
