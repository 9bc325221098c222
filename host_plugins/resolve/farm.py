"""Submission to a farm: a dialog for its settings, the exports, a list to confirm, and one job of the farm for all."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional

from host_plugins.control.controller import Controller
from host_plugins.control.error_messages import artist_message
from host_plugins.control.request import make_job
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState
from host_plugins.farm.host_submission import check_saved, check_seen, exports_folder, listing, submitter
from host_plugins.farm.settings import (
    EVERY,
    FarmSettings,
    farm_settings_from,
    farm_specs,
    from_sticky_text,
    read_sticky,
    sticky_text,
    with_valid_values,
    write_sticky,
)
from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.comp_data import FARM, MODIFIED, plates_with_choice, saved_choice, text_data
from host_plugins.resolve.controls import control, notice, numbered, values_of
from host_plugins.resolve.export import EXPORTS, output_root, plan_export, version_stem
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.submit import FusionSubmission, PreparedShot
from void_bridge.config import Config, load
from void_bridge.errors import Cancelled, UsageError, VoidBridgeError

if TYPE_CHECKING:
    from fusionscript import Composition

TITLE = "VOID Remove: submit to the farm"
NOTHING_SUBMITTED = "nothing was submitted"


@dataclass(frozen=True)
class PlateToSubmit:
    """A plate with its mattes, its settings and the pixel type of its export."""

    choice: ToolChoice
    settings: Settings
    depth: str


@dataclass
class _Batch:
    """One submission in preparation.

    Attributes:
        settings: the settings of the farm.
        config: the configuration.
        exports: the folder for plates and mattes; None for folders beside the results.
        pending: the plates that are not exported yet.
        exported: the plates that are.
    """

    settings: FarmSettings
    config: Config
    exports: Optional[Path]
    pending: List[PlateToSubmit]
    exported: List[PreparedShot] = field(default_factory=list)


class FusionFarmSubmission:
    """Submissions of one or all plates of a composition to a farm.

    Args:
        host: the application and the composition.
        submission: exports one plate at a time; what it passes to `on_ready` has to come to `add_export`.
        controller: submits the exported plates.
        on_state: called with the token of a shot and the first state of its job.
    """

    def __init__(
        self,
        host: FusionHost,
        submission: FusionSubmission,
        controller: Controller,
        on_state: Callable[[str, JobState], None],
    ) -> None:
        self._host, self._comp = host, host.comp
        self._submission, self._controller, self._on_state = submission, controller, on_state
        self._batch: Optional[_Batch] = None

    def start(self, choice: ToolChoice, settings: Settings, depth: str) -> None:
        """Ask for the farm's settings, export the plates, show the list, and submit.

        Where Fusion renders nothing for scripts, `export_next` does the rest after the artist's render.

        Args:
            choice: the tools of the plate that is submitted.
            settings: its settings.
            depth: the pixel type of its export.

        Raises:
            Cancelled: the artist cancelled a dialog. Nothing is left on disk.
            VoidBridgeError: the composition is not saved, or a plate cannot be submitted. Nothing is left on disk.
        """
        self._submission.check_not_waiting()
        file = saved_file(self._host)
        config = load().config
        farm = self._ask_settings(file, config)
        plates = self._plates_to_submit(PlateToSubmit(choice, settings, depth), farm)
        exports = exports_folder(config, file.stem if file else comp_name(self._comp))
        for plate in plates:
            self._check(plate, exports, config, is_chosen=plate is plates[-1])
        self._batch = _Batch(farm, config, exports, plates)
        self.export_next()

    def add_export(self, prepared: PreparedShot) -> None:
        """Take a plate whose export is on disk."""
        assert self._batch is not None
        self._batch.exported.append(prepared)

    def export_next(self) -> None:
        """Export the pending plates; when all are exported, show the list and submit. Raise as `start`."""
        batch = self._batch
        if batch is None:
            return
        try:
            while batch.pending and not self._submission.is_waiting:
                plate = batch.pending.pop(0)
                self._submission.start(plate.choice, plate.settings, plate.depth, batch.exports)
            if not self._submission.is_waiting:
                self._confirm_and_submit(batch)
        except Exception:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Discard the submission in preparation and its exports."""
        batch, self._batch = self._batch, None
        for prepared in batch.exported if batch else ():
            prepared.discard()

    def _confirm_and_submit(self, batch: _Batch) -> None:
        orders = [prepared.order for prepared in batch.exported]
        text = listing([order.job for order in orders], batch.settings, batch.config)
        question = notice("list", "press OK to submit", text, lines=len(text.splitlines()))
        if self._comp.AskUser(TITLE, numbered([question])) is None:
            raise Cancelled(NOTHING_SUBMITTED)
        self._batch = None  # from here on the farm reads the exports
        states = self._controller.submit_to_farm(orders, submitter(batch.settings))
        for prepared, state in zip(batch.exported, states):
            self._on_state(prepared.token, state)

    def _plates_to_submit(self, chosen: PlateToSubmit, farm: FarmSettings) -> List[PlateToSubmit]:
        """Return the plates; the chosen one is last, so that it is stored as the one that was used last."""
        plates = []
        for name in plates_with_choice(self._comp) if farm.shots == EVERY else []:
            if name != chosen.choice.plate:
                choice, settings = saved_choice(self._comp, name)
                plates.append(PlateToSubmit(choice, dataclasses.replace(settings, where="farm"), chosen.depth))
        return [*plates, chosen]

    def _check(self, plate: PlateToSubmit, exports: Optional[Path], config: Config, is_chosen: bool) -> None:
        """Check one plate before anything is rendered; errors of plates other than the chosen one name the plate."""
        try:
            root = output_root(self._comp, plate.settings)
            plan = plan_export(self._comp, plate.choice, plate.settings, exports or root / EXPORTS, plate.depth)
            tool = self._comp.FindTool(plate.choice.plate)
            assert tool is not None
            output = f"{root.as_posix()}/{version_stem(self._comp, tool)}.####.exr"
            check_seen(make_job(plate.settings, plan.shot, output), config)
        except VoidBridgeError as exc:
            if is_chosen:
                raise
            raise type(exc)(f"{plate.choice.plate}: {exc.message}") from exc

    def _ask_settings(self, file: Optional[Path], config: Config) -> FarmSettings:
        """Show the dialog with the settings of last time, and store the new ones.

        Raises:
            Cancelled: the artist cancelled the dialog.
        """
        last = read_sticky(file, config) if file else from_sticky_text(text_data(self._comp, FARM), config)
        settings = ask_farm_settings(self._comp, last, config)
        if settings is None:
            raise Cancelled(NOTHING_SUBMITTED)
        if file:
            write_sticky(file, settings)
        else:
            self._comp.SetData(FARM, sticky_text(settings))
        return settings


def saved_file(host: FusionHost) -> Optional[Path]:
    """Return the composition's file.

    Returns:
        None on Resolve's Fusion page: its compositions are part of the project, have no file, and are not checked.

    Raises:
        UsageError: in Fusion Studio, the composition was never saved or has unsaved changes.
    """
    if host.resolve is not None:
        return None
    attrs = host.comp.GetAttrs()
    return check_saved(str(attrs.get("COMPS_FileName") or ""), bool(attrs.get(MODIFIED)))


def comp_name(comp: Composition) -> str:
    """Return the name of a composition without a file."""
    return str(comp.GetAttrs().get("COMPS_Name") or "comp")


def ask_farm_settings(comp: Composition, settings: FarmSettings, config: Config) -> Optional[FarmSettings]:
    """Show a dialog for the farm's settings, again with the error if a value cannot be used.

    Args:
        comp: the composition.
        settings: the values to show.
        config: the configuration.

    Returns:
        The new settings, or None if the artist cancelled the dialog.
    """
    specs = farm_specs(config, "this plate", "every plate with a remembered choice")
    error = ""
    while True:
        controls = [notice("notes", "message", error)] if error else []
        controls += [control(spec, getattr(settings, spec.name)) for spec in specs]
        answer = comp.AskUser(TITLE, numbered(controls))
        if answer is None:
            return None
        values = values_of(answer, specs)
        try:
            return farm_settings_from(values, config)
        except UsageError as exc:
            error = artist_message(exc)
            settings = with_valid_values(settings, values, config)
