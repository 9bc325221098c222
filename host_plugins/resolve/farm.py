"""Submitting to a farm from Fusion: a dialog, the exports, the list of what is sent, one job of the farm for all."""

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
    with_sound,
    write_sticky,
)
from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.comp_data import FARM, MODIFIED, plates_with_choice, saved_choice, text_data
from host_plugins.resolve.controls import control, notice, numbered, values_of
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.plan import EXPORTS, output_root, plan_export, stem_of
from host_plugins.resolve.submit import FusionSubmission, PreparedShot
from void_bridge.config import Config, load
from void_bridge.errors import Cancelled, UsageError, VoidBridgeError

if TYPE_CHECKING:
    from fusionscript import Composition

TITLE = "VOID Remove: submit to the farm"
NOTHING = "nothing was submitted"


@dataclass(frozen=True)
class PlateToSubmit:
    """A plate to be submitted, with what was chosen for it."""

    choice: ToolChoice
    settings: Settings
    depth: str


@dataclass
class _Batch:
    """One submission in the making. to_do: plates that are not exported yet; ready: those that are."""

    settings: FarmSettings
    config: Config
    exports: Optional[Path]
    to_do: List[PlateToSubmit]
    ready: List[PreparedShot] = field(default_factory=list)


class FarmSubmission:
    """Args: submission: exports one plate; what it finishes has to come to `take`. on_state: told each new job."""

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
        """Ask how, export, list what is sent, and submit; where Fusion renders nothing `go_on` does the rest.

        Raises:
            Cancelled: the artist would not. VoidBridgeError: whatever is wrong, a composition that is not saved among
                it. Nothing is left in either case.
        """
        if self._submission.is_waiting:
            raise UsageError("an export waits for Render All Savers already; let it finish, or cancel it")
        script = saved_file(self._host)
        config = load().config
        farm = self._asked(script, config)
        wanted = self._wanted(PlateToSubmit(choice, settings, depth), farm)
        exports = exports_folder(config, script.stem if script else comp_name(self._comp))
        for each in wanted:
            self._check(each, exports, config, wanted[-1])
        self._batch = _Batch(farm, config, exports, wanted)
        self.go_on()

    def take(self, prepared: PreparedShot) -> None:
        """A plate whose export is on disk."""
        assert self._batch is not None
        self._batch.ready.append(prepared)

    def go_on(self) -> None:
        """Export the next plates; when all are there, ask and submit. Raises as `start`."""
        batch = self._batch
        if batch is None:
            return
        try:
            while batch.to_do and not self._submission.is_waiting:
                one = batch.to_do.pop(0)
                self._submission.start(one.choice, one.settings, one.depth, batch.exports)
            if not self._submission.is_waiting:
                self._confirm(batch)
        except Exception:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Nothing is left of a submission in the making."""
        batch, self._batch = self._batch, None
        for prepared in batch.ready if batch else ():
            prepared.discard()

    def _confirm(self, batch: _Batch) -> None:
        orders = [prepared.order for prepared in batch.ready]
        text = listing([order.job for order in orders], batch.settings, batch.config)
        question = notice("list", "OK submits", text, lines=len(text.splitlines()))
        if self._comp.AskUser(TITLE, numbered([question])) is None:
            raise Cancelled(NOTHING)
        self._batch = None  # from here on the farm reads what was exported
        states = self._controller.submit_to_farm(orders, submitter(batch.settings))
        for prepared, state in zip(batch.ready, states):
            self._on_state(prepared.token, state)

    def _wanted(self, chosen: PlateToSubmit, farm: FarmSettings) -> List[PlateToSubmit]:
        """The chosen plate comes last, so that it is offered first the next time."""
        others = plates_with_choice(self._comp) if farm.shots == EVERY else []
        found = []
        for name in others:
            if name != chosen.choice.plate:
                choice, settings = saved_choice(self._comp, name)
                found.append(PlateToSubmit(choice, dataclasses.replace(settings, where="farm"), chosen.depth))
        return [*found, chosen]

    def _check(self, wanted: PlateToSubmit, exports: Optional[Path], config: Config, chosen: PlateToSubmit) -> None:
        """Everything that can be said before anything is rendered."""
        try:
            root = output_root(self._comp, wanted.settings)
            plan = plan_export(self._comp, wanted.choice, wanted.settings, exports or root / EXPORTS, wanted.depth)
            plate = self._comp.FindTool(wanted.choice.plate)
            assert plate is not None
            output = f"{root.as_posix()}/{stem_of(self._comp, plate)}.####.exr"
            check_seen(make_job(wanted.settings, plan.shot, output), config)
        except VoidBridgeError as exc:
            if wanted is chosen:
                raise
            raise type(exc)(f"{wanted.choice.plate}: {exc.message}") from exc

    def _asked(self, script: Optional[Path], config: Config) -> FarmSettings:
        """What the dialog says, which shows what was kept, and is kept. Raises Cancelled."""
        comp = self._comp
        kept = read_sticky(script, config) if script else from_sticky_text(text_data(comp, FARM), config)
        settings = ask(comp, kept, config)
        if settings is None:
            raise Cancelled(NOTHING)
        if script:
            write_sticky(script, settings)
        else:
            comp.SetData(FARM, sticky_text(settings))
        return settings


def saved_file(host: FusionHost) -> Optional[Path]:
    """The composition's file. None on Resolve's Fusion page: its compositions live in the project, have no file, and
    are not checked.

    Raises:
        UsageError: in Fusion Studio, a composition that was never saved, or has changed since.
    """
    if host.resolve is not None:
        return None
    attrs = host.comp.GetAttrs()
    return check_saved(str(attrs.get("COMPS_FileName") or ""), bool(attrs.get(MODIFIED)))


def comp_name(comp: Composition) -> str:
    """Of a composition without a file."""
    return str(comp.GetAttrs().get("COMPS_Name") or "comp")


def ask(comp: Composition, kept: FarmSettings, config: Config) -> Optional[FarmSettings]:
    """The dialog; again, with words, where something makes no sense. None: cancelled."""
    specs = farm_specs(config, "this plate", "every plate with a remembered choice")
    said = ""
    while True:
        controls = [notice("notes", "Said", said)] if said else []
        controls += [control(spec, getattr(kept, spec.name)) for spec in specs]
        answer = comp.AskUser(TITLE, numbered(controls))
        if answer is None:
            return None
        values = values_of(answer, specs)
        try:
            return farm_settings_from(values, config)
        except UsageError as exc:
            said = artist_message(exc)
            kept = with_sound(kept, values, config)
