"""What the buttons do. Each takes the node, says what went wrong in a message, and leaves the interface alive."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import nuke

from host_plugins.control.request import Order, make_job, prompt_hint
from host_plugins.control.runs import job_file
from host_plugins.control.settings import Settings, setting_specs
from host_plugins.control.state import JobState
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.control.words import artist_words
from host_plugins.nuke.background import start_export
from host_plugins.nuke.export import Plan, export, plan_export, ranges, write_nodes
from host_plugins.nuke.freshness import note_submitted, refresh, refresh_settings
from host_plugins.nuke.node import inside
from host_plugins.nuke.panel import BACKGROUND, SHOWN, server_settings, settings_of, views_of
from host_plugins.nuke.result import Jobs, folder_of, jobs_of, point_at, remember, reread
from host_plugins.nuke.session import on_main_thread, session
from void_bridge.client.launch import child_environment
from void_bridge.config import Config
from void_bridge.errors import Cancelled, InputError, UsageError
from void_bridge.protocol.messages import JobStatus

RESULT, OVERLAY = SHOWN[1], SHOWN[3]
EXPORTS = "exports"


def told(action: Callable[..., Any]) -> Callable[..., None]:
    """What an action raises becomes a message in the artist's words."""

    @functools.wraps(action)
    def guarded(node: nuke.Node, *more: Any) -> None:
        try:
            action(node, *more)
        except Cancelled as exc:
            node["status"].setValue(artist_words(exc))
        except Exception as exc:
            nuke.message(f"{node.name()}: {artist_words(exc)}")

    return guarded


@told
def submit(node: nuke.Node) -> None:
    """Export what has changed, make a new version, and hand one job for each view over."""
    settings = settings_of(node)
    if any(state.is_alive for state in jobs_of(node).values()) and not nuke.ask(
        "This node's last job is still running, and goes on. Submit another version?"
    ):
        return
    plans = plans_of(node, settings)
    licence = str(node["background"].value())
    if licence == BACKGROUND[0] or not any(plan.missing for plan in plans):
        for plan in plans:
            export(node, plan)
        _hand_over(node, settings, plans)
    else:
        _export_in_background(node, settings, plans, licence)


@told
def cancel(node: nuke.Node) -> None:
    """Ask for the end of the node's jobs; the panel tells when that has come."""
    alive = [state for state in jobs_of(node).values() if state.is_alive]
    if not alive:
        node["status"].setValue("Nothing runs for this node.")
    for state in alive:
        session().controller.cancel(state, server_settings(node, state), _line(node, "status"))


@told
def reload(node: nuke.Node) -> None:
    """Ask again how the jobs stand, and read what is on disk again."""
    refresh(node)
    for state in jobs_of(node).values():
        if state.id and state.phase != "cancelled":
            session().controller.follow(state, server_settings(node, state))
    if jobs_of(node):
        reread(node)


@told
def preview(node: nuke.Node) -> None:
    """Write this frame's plate and mattes, have their overlay made, and show it."""
    settings = settings_of(node)
    frame = nuke.frame()
    one = dataclasses.replace(settings, frames_from="custom", frames=str(frame), handles=0)
    plan = plans_of(node, one)[0]
    export(node, plan)
    folder = exports_folder(node, settings)
    job = make_job(one, plan.shot, (folder / "quadmask.####.exr").as_posix())
    picture = folder / f"{stem_of(node)}_quadmask.{frame:04d}.png"

    def show(path: str, words: str) -> None:
        if words:
            nuke.message(f"{node.name()}: {words}")
            return
        read = inside(node, "overlay")
        read["file"].setValue(path)
        read["reload"].execute()  # type: ignore[attr-defined]
        node["show"].setValue(OVERLAY)

    session().tools.preview(job, frame, picture, settings, _if_there(node, show))


@told
def compare(node: nuke.Node) -> None:
    """Have a movie made of the finished job: before, after, wipe."""
    jobs = jobs_of(node)
    if not any(state.phase == "done" for state in jobs.values()):
        raise UsageError("there is no finished result to compare; submit first")
    state = next(state for state in jobs.values() if state.phase == "done")
    movie = job_file(state).parent / f"{job_file(state).parent.name}_compare.mp4"

    def show(path: str, words: str) -> None:
        node["status"].setValue(words or f"The comparison is {path}")

    node["status"].setValue("Making the comparison...")
    session().tools.compare(job_file(state), movie, settings_of(node), _if_there(node, show))


@told
def open_folder(node: nuke.Node) -> None:
    """Show the result's folder in the system's file manager."""
    jobs = jobs_of(node)
    folder = folder_of(jobs) if jobs else output_root(node, settings_of(node))
    if not folder.is_dir():
        raise InputError(f"{folder} is not there (yet)")
    if sys.platform == "win32":
        os.startfile(folder)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    subprocess.Popen([opener, str(folder)], env=child_environment(Config()), stderr=subprocess.DEVNULL)


@told
def check_server(node: nuke.Node) -> None:
    node["server_line"].setValue("Asking...")
    session().controller.check(settings_of(node), _line(node, "server_line"))


@told
def free_gpu(node: nuke.Node) -> None:
    session().controller.free(settings_of(node), _line(node, "server_line"))


@told
def find_jobs(node: nuke.Node) -> None:
    """Let the artist choose one of the server's jobs, and show its result in this node."""
    settings = settings_of(node)

    def choose(found: Tuple[JobStatus, ...], words: str) -> None:
        if words or not found:
            nuke.message(words or "The server has no jobs.")
            return
        lines = "\n".join(f"{each.id}  {each.state}  {each.frames_done}/{each.frames}  {each.user}" for each in found)
        chosen = (nuke.getInput(f"Number of the job:\n{lines}", found[0].id) or "").strip()
        if chosen:
            adopt(node, chosen, settings)

    session().controller.jobs(settings, choose)


def adopt(node: nuke.Node, id: str, settings: Settings) -> None:
    """Show a job that the server knows, by its number."""

    def show(state: JobState) -> None:
        jobs = {views_of(node)[0]: state}
        point_at(node, jobs, own_files=False)
        remember(node, jobs)
        node["show"].setValue(RESULT)
        session().controller.follow(state, settings)

    session().controller.find(id, settings, _if_there(node, show), _line(node, "server_line"))


def knob_changed(node: nuke.Node, knob: nuke.Knob) -> None:
    """Hints and freshness, for every change in the panel. Quick, and writes no knob that calls it again for long."""
    name = knob.name()
    if name == "prompt":
        hint = prompt_hint(str(knob.value()))
        if str(node["prompt_hint"].value()).strip() != hint:
            node["prompt_hint"].setValue(hint or " ")
    if name == "inputChange":
        refresh(node)
    elif name in _WATCHED:
        refresh_settings(node)


_WATCHED = {spec.name for spec in setting_specs()} | {"views", "own_files"}
_WATCHED |= {f"{role}_{part}" for role in ("remove", "affected", "keep") for part in ("channel", "invert")}


def plans_of(node: nuke.Node, settings: Settings) -> List[Plan]:
    """What has to be written, for each view. Raises VoidBridgeError: whatever is wrong with the inputs."""
    folder = exports_folder(node, settings)
    views = views_of(node)
    stem = stem_of(node)
    names = [stem if len(views) == 1 else f"{stem}_{view}" for view in views]
    return [plan_export(node, settings, view, folder, name) for view, name in zip(views, names)]


def orders_of(settings: Settings, plans: List[Plan], version: Version) -> Dict[str, Order]:
    """View -> the order for it, all in one version. Raises VoidBridgeError."""
    patterns = {plan.view: version.pattern for plan in plans}
    if len(plans) > 1:
        patterns = {view: (version.folder / view / Path(path).name).as_posix() for view, path in patterns.items()}
    return {plan.view: Order(make_job(settings, plan.shot, patterns[plan.view]), settings) for plan in plans}


def output_root(node: nuke.Node, settings: Settings) -> Path:
    """Where versions go. Raises UsageError: no folder is set and the script has never been saved."""
    if settings.folder:
        return Path(settings.folder)
    script = nuke.root().name()
    if not Path(script).is_absolute():
        raise UsageError("save the script first, or set an output folder: results go beside the script")
    return Path(script).parent / "void"


def exports_folder(node: nuke.Node, settings: Settings) -> Path:
    return output_root(node, settings) / EXPORTS


def stem_of(node: nuke.Node) -> str:
    """`<script>_<node>`, as a part of file names."""
    script = Path(nuke.root().name())
    name = script.stem if script.suffix == ".nk" else "untitled"
    return safe_name(f"{name}_{node.fullName()}")


def _hand_over(node: nuke.Node, settings: Settings, plans: List[Plan]) -> None:
    version = new_version(output_root(node, settings), stem_of(node))
    try:
        orders = orders_of(settings, plans, version)
    except Exception:
        version.abandon()
        raise
    own_files = not any(piece.name == "plate" for plan in plans for piece in plan.pieces)
    jobs: Jobs = {view: session().controller.submit(order) for view, order in orders.items()}
    point_at(node, jobs, own_files)
    remember(node, jobs)
    note_submitted(node)
    node["show"].setValue(RESULT)


def _export_in_background(node: nuke.Node, settings: Settings, plans: List[Plan], licence: str) -> None:
    """One view after the other; when the last is written, the jobs are handed over with the settings of now."""
    waiting = [plan for plan in plans if plan.missing]
    if not waiting:
        _hand_over(node, settings, plans)
        return
    plan = waiting[0]

    @told
    def ended(node: nuke.Node, words: str) -> None:
        if words:
            raise InputError(words)
        if plan.missing:
            raise InputError(f"the second Nuke left frames {plan.missing} out")
        _export_in_background(node, settings, plans, licence)

    with write_nodes(node, plan) as writes:
        steps = [list(step) for step in ranges(plan.missing)]
        on_end = _posted(_if_there(node, functools.partial(ended, node)))
        start_export(writes, steps, plan.view, licence == BACKGROUND[2], on_end)
    node["status"].setValue("A second Nuke writes plate and roto...")


def _posted(call: Callable[[str], None]) -> Callable[[str], None]:
    return lambda words: on_main_thread(lambda: call(words))


def _line(node: nuke.Node, knob: str) -> Callable[[str], None]:
    """Shows a line in the panel, if the node is still there when it comes."""
    return _if_there(node, lambda text: node[knob].setValue(text or " "))


def _if_there(node: nuke.Node, call: Callable[..., Any]) -> Callable[..., None]:
    """A node that was deleted meanwhile makes every use of it a ValueError; its news are nobody's."""

    def guarded(*arguments: Any) -> None:
        with suppress(ValueError):
            node.name()
            call(*arguments)

    return guarded
