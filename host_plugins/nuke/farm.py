"""Submitting to a farm: a dialog, the exports, the list of what is sent, and one job of the farm for every node."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import nuke

from host_plugins.control.controller import Controller, handed_over_state
from host_plugins.control.error_messages import artist_message
from host_plugins.control.request import Order, make_job
from host_plugins.control.versions import Version
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
    with_sound,
    write_sticky,
)
from host_plugins.nuke.exporting import export_all, goes_to_background
from host_plugins.nuke.freshness import update_freshness
from host_plugins.nuke.node import void_nodes
from host_plugins.nuke.panel import settings_of
from host_plugins.nuke.result import jobs_of, store_jobs
from host_plugins.nuke.session import session
from host_plugins.nuke.submission import NukeSubmission, make_orders, output_root, prepare, show_jobs, stem_of
from void_bridge.config import Config, load
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.options import Option

OWN_FILES_OUTSIDE = (
    'turn "send the plate\'s own files" off, so that the plate is written for the farm; farm_scratch says where'
)
_STILL_RUNNING = "The last job of {} is still running, and goes on. Submit another version?"

Made = List[Tuple[NukeSubmission, Version, Dict[str, Order]]]


def submit_to_farm(node: nuke.Node) -> None:
    """Ask how, export what has changed, list what is sent, and hand one job for each node and view to the farm.

    Raises:
        VoidBridgeError: whatever is wrong, the script that is not saved among it; nothing has been submitted then.
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
    submissions = [_named(each, node, config) for each in nodes]
    export_all(submissions, lambda: _confirm(submissions, settings, config, comp))


def ask(kept: FarmSettings, config: Config) -> Optional[FarmSettings]:
    """The dialog; again, with words, where something makes no sense. None: cancelled."""
    specs = farm_specs(config, "this node", "every VOIDRemove node", comp=True)
    while True:
        panel = nuke.Panel("VOIDRemove: submit to the farm")
        for spec in specs:
            _ADD[spec.kind](panel, spec, getattr(kept, spec.name))
        if not panel.show():
            return None
        values = {spec.name: _value(panel, spec) for spec in specs}
        try:
            return farm_settings_from(values, config)
        except UsageError as exc:
            nuke.message(artist_message(exc))
            kept = with_sound(kept, values, config)


def nodes_of(node: nuke.Node, settings: FarmSettings) -> Tuple[nuke.Node, ...]:
    """What is submitted. Raises UsageError: nothing, or a node whose plate and roto a second Nuke is still writing."""
    every = [each for each in void_nodes() if not each["disable"].value()]
    nodes = every if settings.shots == EVERY else [node]
    if not nodes:
        raise UsageError("every VOIDRemove of this script is disabled; submit this node alone, or enable some")
    for each in nodes:
        if each.fullName() in session().exports:
            raise UsageError(f"a second Nuke is still writing plate and roto for {each.name()}; Cancel there stops it")
    return tuple(nodes)


def prepared(node: nuke.Node, config: Config) -> NukeSubmission:
    """A node's submission, with what is rendered on the farm's scratch disk.

    Raises:
        VoidBridgeError: about its knobs or inputs, or a path that the farm does not see.
    """
    settings = dataclasses.replace(settings_of(node), where="farm")
    submission = prepare(node, settings, exports_folder(config, Path(nuke.root().name()).stem))
    advice = OWN_FILES_OUTSIDE if submission.sends_own_files else SCRATCH_OUTSIDE
    root = output_root(node, settings)
    for plan in submission.plans:
        check_seen(make_job(settings, plan.shot, f"{root.as_posix()}/{stem_of(node)}.####.exr"), config, advice)
    return submission


def _named(node: nuke.Node, pressed: nuke.Node, config: Config) -> NukeSubmission:
    """As `prepared`; words about another node than the one whose button was pressed begin with its name."""
    try:
        return prepared(node, config)
    except VoidBridgeError as exc:
        if node.fullName() == pressed.fullName():
            raise
        raise type(exc)(f"{node.name()}: {exc.message}") from exc


def comp_of(settings: FarmSettings, script: Path) -> Optional[CompRender]:
    """The script as a comp to be rendered, if that was asked for. Raises UsageError: no such Write."""
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
) -> Tuple[Made, str]:
    """New versions and orders, once everything is on disk, and the list of what would be sent.

    Raises:
        VoidBridgeError: what is wrong with one of them, or all together; no version is left then.
    """
    made: Made = []
    try:
        for submission in submissions:
            made.append((submission, *make_orders(submission)))
        jobs = [order.job for _, _, by_view in made for order in by_view.values()]
        return made, listing(jobs, settings, config, comp)
    except Exception:
        _give_up(made)
        raise


def hand_to_farm(made: Made, settings: FarmSettings, comp: Optional[CompRender], controller: Controller) -> None:
    """Let the nodes show what comes, and submit. With a comp the script is saved before: the farm reads it from disk.

    Raises:
        InputError: it cannot be saved; nothing has been submitted.
    """
    orders = [order for _, _, by_view in made for order in by_view.values()]
    for submission, _, by_view in made:
        show_jobs(submission, {view: handed_over_state(order) for view, order in by_view.items()})
    if comp:
        _save_script(made)
    controller.submit_to_farm(orders, submitter(settings, comp))


def _confirm(
    submissions: Sequence[NukeSubmission], settings: FarmSettings, config: Config, comp: Optional[CompRender]
) -> None:
    made, text = make_all_orders(submissions, settings, config, comp)
    if not nuke.ask(f"{text}\n\nSubmit?"):
        _give_up(made)
        return
    hand_to_farm(made, settings, comp, session().controller)
    if any(goes_to_background(submission.node) for submission in submissions):
        for submission in submissions:
            update_freshness(submission.node)  # something may have changed while a second Nuke wrote it


def _give_up(made: Made) -> None:
    for _, version, _ in made:
        version.abandon()


def _save_script(made: Made) -> None:
    try:
        nuke.scriptSave()
    except RuntimeError as exc:
        words = f"the script cannot be saved, so nothing was submitted: {exc}"
        for submission, _, _ in made:
            jobs = jobs_of(submission.node).items()
            store_jobs(submission.node, {view: state.replace(phase="failed", line=words) for view, state in jobs})
        _give_up(made)
        raise InputError(words) from exc


def _pulldown(panel: Any, spec: Option, value: object) -> None:
    """Words in one text, the first of which is shown; those with spaces in quotes."""
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
    """What a control holds; None, which an empty line may give, is empty text."""
    value = panel.value(spec.label)
    if spec.kind == "choice":
        return next((name for name, text in spec.choices if text == value), value)
    return "" if value is None else value
