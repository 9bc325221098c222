"""From a choice of tools to a job: rendered at once, or by the artist where Fusion renders nothing for a script."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Optional, Tuple

from host_plugins.control.request import Order, make_job
from host_plugins.control.settings import Settings
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.resolve.choice import Choice, plate_of
from host_plugins.resolve.export import RENDER_YOURSELF, Export
from host_plugins.resolve.memory import own_shot, remember_choice
from host_plugins.resolve.plan import DEPTHS, EXPORTS, check_inputs, frames_of, output_root, plan_export, stem_of
from void_bridge.errors import InputError, UsageError
from void_bridge.job import Job

if TYPE_CHECKING:
    from pathlib import Path

    from fusionscript import Composition

OnOrder = Callable[[str, Order], None]  # the shot's token, what is to be done


@dataclass(frozen=True)
class _Waiting:
    export: Export
    order: Order
    token: str
    version: Version


class Submission:
    """Args: on_order: takes the job over once everything is on disk. tell: says what the artist has to do."""

    def __init__(self, comp: Composition, on_order: OnOrder, tell: Callable[[str], None]) -> None:
        self._comp, self._on_order, self._tell = comp, on_order, tell
        self._waiting: Optional[_Waiting] = None

    @property
    def is_waiting(self) -> bool:
        """Whether somebody has to render by hand."""
        return self._waiting is not None

    def start(self, choice: Choice, settings: Settings, depth: str = DEPTHS[0]) -> None:
        """Render plate and mattes, make a new version, and hand the job over.

        Raises:
            VoidBridgeError: whatever is wrong with the tools, the frames, the colour space, the folder or the render;
                nothing is left in the composition or on disk.
        """
        if self._waiting is not None:
            raise UsageError("an export waits for Render All Savers already; let it finish, or cancel it")
        check_inputs(self._comp, choice, settings)
        plate = plate_of(self._comp, choice)
        root = output_root(self._comp, settings)
        version = new_version(root, stem_of(self._comp, plate))
        try:
            plan = plan_export(self._comp, choice, settings, root / EXPORTS / version.name, depth)
            order = Order(make_job(settings, plan.shot, version.pattern), settings)
            token = own_shot(self._comp, plate)
            remember_choice(self._comp, plate, choice, settings)
            self._render(_Waiting(Export(self._comp, plan), order, token, version))
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
        self._on_order(waiting.token, waiting.order)
        return 0

    def give_up(self) -> None:
        """Wait no longer; nothing is left in the composition or on disk."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.export.close()
            waiting.export.discard()
            waiting.version.abandon()

    def _render(self, waiting: _Waiting) -> None:
        export = waiting.export
        try:
            whole = export.start()
        except Exception:
            export.close()
            export.discard()
            raise
        if whole:
            export.close()
            self._on_order(waiting.token, waiting.order)
        else:
            self._waiting = waiting
            self._tell(RENDER_YOURSELF)


def preview_job(comp: Composition, choice: Choice, settings: Settings) -> Tuple[Job, int, Path]:
    """Render the frame nearest to the current time. Returns its job, its number and the picture to make of it.

    Raises:
        VoidBridgeError: as Submission.start.
    """
    plate = plate_of(comp, choice)
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
