"""From a choice of tools to a job: rendered at once, or by the artist where Fusion renders nothing for a script."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Optional, Tuple

from host_plugins.control.request import Order, make_job
from host_plugins.control.settings import Settings
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.resolve.choice import ToolChoice, plate_tool
from host_plugins.resolve.comp_data import ensure_shot_token, save_choice
from host_plugins.resolve.export import RENDER_YOURSELF, Export
from host_plugins.resolve.plan import DEPTHS, EXPORTS, check_inputs, frames_of, output_root, plan_export, stem_of
from void_bridge.errors import InputError, UsageError
from void_bridge.job import Job

if TYPE_CHECKING:
    from pathlib import Path

    from fusionscript import Composition


@dataclass(frozen=True)
class PreparedShot:
    """A job with its export, in the composition's shot `token`."""

    export: Export
    order: Order
    token: str
    version: Version

    def discard(self) -> None:
        """Nothing is left of it in the composition or on disk."""
        self.export.close()
        self.export.discard()
        self.version.abandon()


class FusionSubmission:
    """Args: on_ready: takes a job over once everything is on disk. tell: says what the artist has to do."""

    def __init__(
        self, comp: Composition, on_ready: Callable[[PreparedShot], None], tell: Callable[[str], None]
    ) -> None:
        self._comp, self._on_ready, self._tell = comp, on_ready, tell
        self._waiting: Optional[PreparedShot] = None

    @property
    def is_waiting(self) -> bool:
        """Whether somebody has to render by hand."""
        return self._waiting is not None

    def start(
        self, choice: ToolChoice, settings: Settings, depth: str = DEPTHS[0], exports: Optional[Path] = None
    ) -> None:
        """Render plate and mattes, make a new version, and hand the job over.

        Args:
            exports: where plate and mattes go, each version in a folder of its own; default: beside the results.

        Raises:
            VoidBridgeError: whatever is wrong with the tools, the frames, the colour space, the folder or the render;
                nothing is left in the composition or on disk.
        """
        if self._waiting is not None:
            raise UsageError("an export waits for Render All Savers already; let it finish, or cancel it")
        check_inputs(self._comp, choice, settings)
        plate = plate_tool(self._comp, choice)
        root = output_root(self._comp, settings)
        version = new_version(root, stem_of(self._comp, plate))
        try:
            plan = plan_export(
                self._comp, choice, settings, _new_folder(exports or root / EXPORTS, version.name), depth
            )
            order = Order(make_job(settings, plan.shot, version.pattern), settings)
            token = ensure_shot_token(self._comp, plate)
            save_choice(self._comp, plate, choice, settings)
            self._render(PreparedShot(Export(self._comp, plan), order, token, version))
        except Exception:
            version.abandon()
            raise

    def look(self) -> int:
        """Go on if the frames are there that somebody renders by hand. Returns how many are to come."""
        waiting = self._waiting
        if waiting is None:
            return 0
        if not waiting.export.poll():
            return len(waiting.export.plan.missing())
        self._waiting = None
        waiting.export.close()
        self._on_ready(waiting)
        return 0

    def give_up(self) -> None:
        """Wait no longer; nothing is left in the composition or on disk."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.discard()

    def _render(self, prepared: PreparedShot) -> None:
        export = prepared.export
        try:
            whole = export.start()
        except Exception:
            export.close()
            export.discard()
            raise
        if whole:
            export.close()
            self._on_ready(prepared)
        else:
            self._waiting = prepared
            self._tell(RENDER_YOURSELF)


def _new_folder(folder: Path, name: str) -> Path:
    """A place where nothing is: on a scratch disk, versions of other output folders may have the same name."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(folder / each for each in names if not (folder / each).exists())


def preview_job(comp: Composition, choice: ToolChoice, settings: Settings) -> Tuple[Job, int, Path]:
    """Render the frame nearest to the current time. Returns its job, its number and the picture to make of it.

    Raises:
        VoidBridgeError: as FusionSubmission.start.
    """
    plate = plate_tool(comp, choice)
    frame = min(frames_of(comp, plate, settings), key=lambda each: abs(each - comp.CurrentTime))
    one = replace(settings, frames_from="custom", frames=str(frame), handles=0)
    check_inputs(comp, choice, one)
    folder = output_root(comp, settings) / EXPORTS / safe_name(f"{stem_of(comp, plate)}_preview")
    plan = plan_export(comp, choice, one, folder)
    job = make_job(one, plan.shot, (folder / "quadmask.####.exr").as_posix())
    for path in plan.written():
        path.unlink()
    export = Export(comp, plan)
    try:
        whole = export.start()
    finally:
        export.close()
    if not whole:
        raise InputError("Fusion rendered nothing for this script, so there is no preview; Submit says what to do")
    return job, frame, folder / f"preview.{frame:04d}.png"
