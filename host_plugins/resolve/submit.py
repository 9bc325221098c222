"""Exports for new jobs and for previews, rendered by Fusion or, where it renders nothing for scripts, by the artist."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional, Tuple

from host_plugins.control.request import Order, make_job
from host_plugins.control.settings import Settings
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.resolve.choice import ToolChoice, plate_tool
from host_plugins.resolve.comp_data import ensure_shot_token, save_choice
from host_plugins.resolve.export import (
    DEPTHS,
    EXPORTS,
    RENDER_YOURSELF,
    Export,
    check_inputs,
    frames_to_deliver,
    output_root,
    plan_export,
    version_stem,
)
from void_bridge.errors import InputError, UsageError
from void_bridge.job import Job

if TYPE_CHECKING:
    from pathlib import Path

    from fusionscript import Composition


@dataclass(frozen=True)
class PreparedShot:
    """A job and its export.

    Attributes:
        export: the plate and the mattes.
        order: the job.
        token: the token of the shot in the composition.
        version: the folder for the result.
    """

    export: Export
    order: Order
    token: str
    version: Version

    def discard(self) -> None:
        """Restore the composition and delete the files and the version."""
        self.export.close()
        self.export.discard()
        self.version.abandon()


class FusionSubmission:
    """The export of plates and mattes for jobs, one at a time.

    Args:
        comp: the composition.
        on_ready: called with each job once its plate and mattes are on disk.
        show_message: called with instructions for the artist.
    """

    def __init__(
        self, comp: Composition, on_ready: Callable[[PreparedShot], None], show_message: Callable[[str], None]
    ) -> None:
        self._comp, self._on_ready, self._show_message = comp, on_ready, show_message
        self._waiting: Optional[PreparedShot] = None

    @property
    def is_waiting(self) -> bool:
        """Whether an export waits for the artist to render it."""
        return self._waiting is not None

    def check_not_waiting(self) -> None:
        """Raise UsageError if an export waits for the artist to render it."""
        if self._waiting is not None:
            raise UsageError("an export is already waiting for Render All Savers; let it finish, or cancel it")

    def start(
        self, choice: ToolChoice, settings: Settings, depth: str = DEPTHS[0], exports: Optional[Path] = None
    ) -> None:
        """Render plate and mattes, make a new version, and pass the job to `on_ready`.

        Args:
            choice: the tools.
            settings: the settings of the job.
            depth: the pixel type of the plate, one of `export.DEPTHS`.
            exports: the folder in which plate and mattes get a folder of their own; by default beside the results.

        Raises:
            VoidBridgeError: the tools, the frames, the colour space, the folder or the render is at fault. Nothing is
                left in the composition or on disk.
        """
        self.check_not_waiting()
        check_inputs(self._comp, choice, settings)
        plate = plate_tool(self._comp, choice)
        root = output_root(self._comp, settings)
        version = new_version(root, version_stem(self._comp, plate))
        try:
            folder = _new_folder(exports or root / EXPORTS, version.name)
            plan = plan_export(self._comp, choice, settings, folder, depth)
            order = Order(make_job(settings, plan.shot, version.pattern), settings)
            token = ensure_shot_token(self._comp, plate)
            save_choice(self._comp, plate, choice, settings)
            self._render(PreparedShot(Export(self._comp, plan), order, token, version))
        except Exception:
            version.abandon()
            raise

    def check_frames(self) -> int:
        """Pass the waiting job on if the artist's render is done, and return the number of frames still missing."""
        waiting = self._waiting
        if waiting is None:
            return 0
        if not waiting.export.poll():
            return len(waiting.export.plan.missing())
        self._waiting = None
        waiting.export.close()
        self._on_ready(waiting)
        return 0

    def cancel(self) -> None:
        """Discard the export that waits for the artist's render."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.discard()

    def _render(self, prepared: PreparedShot) -> None:
        try:
            is_complete = prepared.export.start()
        except Exception:
            prepared.discard()
            raise
        if is_complete:
            prepared.export.close()
            self._on_ready(prepared)
        else:
            self._waiting = prepared
            self._show_message(RENDER_YOURSELF)


def _new_folder(folder: Path, name: str) -> Path:
    """Return a path that does not exist: on a scratch disk, versions of other results may have the same name."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(folder / each for each in names if not (folder / each).exists())


def preview_job(comp: Composition, choice: ToolChoice, settings: Settings) -> Tuple[Job, int, Path]:
    """Render the frame nearest to the current time for a preview.

    Returns:
        A job of that frame, the frame's number, and the path for the picture.

    Raises:
        VoidBridgeError: as `FusionSubmission.start`.
    """
    plate = plate_tool(comp, choice)
    frame = min(frames_to_deliver(comp, plate, settings), key=lambda each: abs(each - comp.CurrentTime))
    one_frame = settings.replace(frames_from="custom", frames=str(frame), handles=0)
    check_inputs(comp, choice, one_frame)
    folder = output_root(comp, settings) / EXPORTS / safe_name(f"{version_stem(comp, plate)}_preview")
    plan = plan_export(comp, choice, one_frame, folder)
    job = make_job(one_frame, plan.shot, (folder / "quadmask.####.exr").as_posix())
    for path in plan.written():
        path.unlink()
    export = Export(comp, plan)
    try:
        is_complete = export.start()
    finally:
        export.close()
    if not is_complete:
        raise InputError(
            "Fusion rendered nothing for this script, so there is no preview; Submit shows how to render by hand"
        )
    return job, frame, folder / f"preview.{frame:04d}.png"
