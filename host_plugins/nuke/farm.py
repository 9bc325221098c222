"""The submission to a farm: a dialog, the exports, a list to confirm, and one job of the farm for all nodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import nuke

from host_plugins.control.controller import Controller, handed_over_state
from host_plugins.control.error_messages import artist_message
from host_plugins.control.request import make_job
from host_plugins.farm.host_submission import (
    SCRATCH_OUTSIDE,
    check_saved,
    check_seen,
    exports_folder,
    listing,
    submitter,
)
from host_plugins.farm.options import CompRender
from host_plugins.farm.settings import (
    EVERY,
    FarmSettings,
    farm_settings_from,
    farm_specs,
    read_sticky,
    with_valid_values,
    write_sticky,
)
from host_plugins.nuke.freshness import update_freshness
from host_plugins.nuke.node import void_nodes
from host_plugins.nuke.panel import settings_of
from host_plugins.nuke.result import jobs_of, store_jobs
from host_plugins.nuke.session import session
from host_plugins.nuke.submission import (
    NukeOrders,
    NukeSubmission,
    export_all,
    make_orders,
    output_root,
    prepare,
    show_jobs,
    stem_of,
    uses_background,
)
from void_bridge.config import Config, load
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.options import Option

OWN_FILES_OUTSIDE = 'turn off "send the plate\'s own files", so that the plate is written to farm_scratch for the farm'
_STILL_RUNNING = "The last job of {} is still running and will continue. Submit another version?"


def submit_to_farm(node: nuke.Node) -> None:
    """Show the dialog, export what has changed, and submit after the artist has confirmed the list.

    Args:
        node: the node whose button was pressed.

    Raises:
        VoidBridgeError: something is wrong, such as a script that is not saved; nothing has been submitted then.
    """
    script = check_saved(nuke.root().name(), nuke.root().modified())
    config = load().config
    settings = ask(read_sticky(script, config), config)
    if settings is None:
        return
    write_sticky(script, settings)
    comp = comp_of(settings, script)
    nodes = nodes_of(node, settings)
    running = [each.name() for each in nodes if any(state.is_alive for state in jobs_of(each).values())]
    if running and not nuke.ask(_STILL_RUNNING.format(", ".join(running))):
        return
    submissions = [_prepare_or_name(each, node, config) for each in nodes]
    export_all(submissions, lambda: _confirm(submissions, settings, config, comp))


def ask(initial: FarmSettings, config: Config) -> Optional[FarmSettings]:
    """Show the dialog, again with a message as long as a value is not valid. Return None if it was cancelled."""
    specs = farm_specs(config, "this node", "every VOIDRemove node", comp=True)
    while True:
        panel = nuke.Panel("VOIDRemove: submit to the farm")
        for spec in specs:
            _ADD[spec.kind](panel, spec, getattr(initial, spec.name))
        if not panel.show():
            return None
        values = {spec.name: _value(panel, spec) for spec in specs}
        try:
            return farm_settings_from(values, config)
        except UsageError as exc:
            nuke.message(artist_message(exc))
            initial = with_valid_values(initial, values, config)


def nodes_of(node: nuke.Node, settings: FarmSettings) -> Tuple[nuke.Node, ...]:
    """Return the nodes to submit.

    Raises:
        UsageError: there is none, or a second Nuke is still writing a node's plate and roto.
    """
    every = [each for each in void_nodes() if not each["disable"].value()]
    nodes = every if settings.shots == EVERY else [node]
    if not nodes:
        raise UsageError("every VOIDRemove of this script is disabled; submit this node alone, or enable some")
    for each in nodes:
        if each.fullName() in session().exports:
            raise UsageError(f"a second Nuke is still writing plate and roto for {each.name()}; Cancel there stops it")
    return tuple(nodes)


def prepare_for_farm(node: nuke.Node, config: Config) -> NukeSubmission:
    """Return a node's submission, with exports on the farm's scratch disk.

    Raises:
        VoidBridgeError: its knobs or inputs are wrong, or the farm does not see a path.
    """
    settings = dataclasses.replace(settings_of(node), where="farm")
    submission = prepare(node, settings, exports_folder(config, Path(nuke.root().name()).stem))
    advice = OWN_FILES_OUTSIDE if submission.sends_own_files else SCRATCH_OUTSIDE
    root = output_root(node, settings)
    for export in submission.exports:
        check_seen(make_job(settings, export.shot, f"{root.as_posix()}/{stem_of(node)}.####.exr"), config, advice)
    return submission


def comp_of(settings: FarmSettings, script: Path) -> Optional[CompRender]:
    """Return the render of the script as a comp, or None if it is not wanted.

    Raises:
        UsageError: the script has no such Write.
    """
    if not settings.comp:
        return None
    writes = {write.fullName(): write for write in nuke.allNodes("Write", recurseGroups=True)}
    if not writes or (settings.write and settings.write not in writes):
        raise UsageError(f"found no Write {settings.write or 'in this script'}; name another, or render no comp")
    write, root = writes.get(settings.write), nuke.root()
    first, last = root["first_frame"].value(), root["last_frame"].value()
    if write is not None and write["use_limit"].value():
        first, last = write["first"].value(), write["last"].value()
    return CompRender(script.as_posix(), FrameRange(range(int(first), int(last) + 1)), settings.write)


def make_all_orders(
    submissions: Sequence[NukeSubmission], settings: FarmSettings, config: Config, comp: Optional[CompRender] = None
) -> Tuple[List[NukeOrders], str]:
    """Create versions and orders, once every export is on disk.

    Args:
        submissions: the nodes.
        settings: the values of the dialog.
        config: the configuration.
        comp: the render of the comp that follows.

    Returns:
        The orders of each node, and the list for the artist to confirm.

    Raises:
        VoidBridgeError: a submission is wrong, by itself or together with the others; no version is left then.
    """
    prepared: List[NukeOrders] = []
    try:
        for submission in submissions:
            prepared.append(make_orders(submission))
        jobs = [order.job for each in prepared for order in each.orders.values()]
        return prepared, listing(jobs, settings, config, comp)
    except Exception:
        _abandon_versions(prepared)
        raise


def hand_to_farm(
    prepared: Sequence[NukeOrders], settings: FarmSettings, comp: Optional[CompRender], controller: Controller
) -> None:
    """Show the jobs in their nodes, and submit. With a comp the script is saved first: the farm reads it from disk.

    Args:
        prepared: the orders of each node.
        settings: the values of the dialog.
        comp: the render of the comp that follows.
        controller: submits and follows.

    Raises:
        InputError: the script cannot be saved; nothing has been submitted.
    """
    for each in prepared:
        show_jobs(each.submission, {view: handed_over_state(order) for view, order in each.orders.items()})
    if comp:
        _save_script(prepared)
    controller.submit_to_farm([order for each in prepared for order in each.orders.values()], submitter(settings, comp))


def _prepare_or_name(node: nuke.Node, pressed: nuke.Node, config: Config) -> NukeSubmission:
    """Return a node's submission; an error about another node than the pressed one begins with that node's name."""
    try:
        return prepare_for_farm(node, config)
    except VoidBridgeError as exc:
        if node.fullName() == pressed.fullName():
            raise
        raise type(exc)(f"{node.name()}: {exc.message}") from exc


def _confirm(
    submissions: Sequence[NukeSubmission], settings: FarmSettings, config: Config, comp: Optional[CompRender]
) -> None:
    """Show the list, and submit if the artist agrees."""
    prepared, text = make_all_orders(submissions, settings, config, comp)
    if not nuke.ask(f"{text}\n\nSubmit?"):
        _abandon_versions(prepared)
        return
    hand_to_farm(prepared, settings, comp, session().controller)
    if any(uses_background(submission.node) for submission in submissions):
        for submission in submissions:
            update_freshness(submission.node)  # something may have changed while a second Nuke wrote it


def _abandon_versions(prepared: Sequence[NukeOrders]) -> None:
    for each in prepared:
        each.version.abandon()


def _save_script(prepared: Sequence[NukeOrders]) -> None:
    """Save the script; if that fails, mark the jobs as failed and remove their versions."""
    try:
        nuke.scriptSave()
    except RuntimeError as exc:
        error = f"the script cannot be saved, so nothing was submitted: {exc}"
        for each in prepared:
            jobs = jobs_of(each.submission.node).items()
            store_jobs(each.submission.node, {view: state.replace(phase="failed", line=error) for view, state in jobs})
        _abandon_versions(prepared)
        raise InputError(error) from exc


def _pulldown(panel: Any, spec: Option, value: object) -> None:
    """Add a pulldown. Nuke takes its entries as one text, selects the first, and expects quotes around spaces."""
    texts = [text for _, text in sorted(spec.choices, key=lambda choice: choice[0] != value)]
    panel.addEnumerationPulldown(spec.label, " ".join(f'"{text}"' if " " in text else text for text in texts))


_ADD: Dict[str, Callable[[Any, Option, Any], object]] = {
    "choice": _pulldown,
    "flag": lambda panel, spec, value: panel.addBooleanCheckBox(spec.label, value),
    "text": lambda panel, spec, value: panel.addSingleLineInput(spec.label, value),
    "integer": lambda panel, spec, value: panel.addSingleLineInput(spec.label, str(value)),
    "number": lambda panel, spec, value: panel.addSingleLineInput(spec.label, f"{value:g}"),
}


def _value(panel: Any, spec: Option) -> object:
    """Return the value of a control. Nuke may give None for an empty line; that is an empty text."""
    value = panel.value(spec.label)
    if spec.kind == "choice":
        return next((name for name, text in spec.choices if text == value), value)
    return "" if value is None else value
