"""What the buttons do. Each takes the node, says what went wrong in a message, and leaves the interface alive."""

from __future__ import annotations

from typing import Callable, Tuple

import nuke

from host_plugins.control.desktop import show_folder
from host_plugins.control.job_follower import job_file
from host_plugins.control.request import make_job, prompt_hint
from host_plugins.control.settings import Settings, setting_specs
from host_plugins.control.state import JobState
from host_plugins.nuke.colour import working_space
from host_plugins.nuke.export import export
from host_plugins.nuke.exporting import export_all, goes_to_background
from host_plugins.nuke.farm import submit_to_farm
from host_plugins.nuke.freshness import update_freshness, update_settings_freshness
from host_plugins.nuke.guard import if_node_exists, report_errors
from host_plugins.nuke.inputs import ROLES
from host_plugins.nuke.node import inside
from host_plugins.nuke.panel import server_settings, settings_of, views_of
from host_plugins.nuke.result import folder_of, jobs_of, reload_result, set_result_read, store_jobs
from host_plugins.nuke.session import session
from host_plugins.nuke.submission import (
    OVERLAY,
    RESULT,
    exports_folder,
    hand_over,
    output_root,
    plans_of,
    prepare,
    stem_of,
)
from void_bridge.errors import UsageError
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus


@report_errors
def submit(node: nuke.Node) -> None:
    """Export what has changed, make a new version, and hand one job for each view over."""
    if node["where"].value() == "farm":
        submit_to_farm(node)
        return
    if node.fullName() in session().exports:
        raise UsageError("a second Nuke is still writing plate and roto for this node; Cancel stops it")
    if any(state.is_alive for state in jobs_of(node).values()) and not nuke.ask(
        "This node's last job is still running, and goes on. Submit another version?"
    ):
        return
    submission = prepare(node)

    def handed_over() -> None:
        hand_over(submission, session().controller)
        if goes_to_background(node):
            update_freshness(node)  # something may have changed while a second Nuke wrote it

    export_all([submission], handed_over)


@report_errors
def cancel(node: nuke.Node) -> None:
    """Ask for the end of the node's jobs, or of its export; the panel tells when that has come."""
    exporting = session().exports.get(node.fullName())
    if exporting is not None:
        exporting.stop()
        return
    alive = [state for state in jobs_of(node).values() if state.is_alive]
    if not alive:
        node["status"].setValue("Nothing runs for this node.")
    for state in alive:
        session().controller.cancel(state, server_settings(node, state), _line(node, "status"))


@report_errors
def reload(node: nuke.Node) -> None:
    """Ask again how the jobs stand, and read what is on disk again."""
    update_freshness(node)
    for state in jobs_of(node).values():
        if state.id and state.phase != "cancelled":
            session().controller.follow(state, server_settings(node, state))
    if jobs_of(node):
        reload_result(node)


@report_errors
def preview(node: nuke.Node) -> None:
    """Write this frame's plate and mattes, have their overlay made, and show it."""
    settings = settings_of(node)
    frame = nuke.frame()
    one = settings.replace(frames_from="custom", frames=str(frame), handles=0)
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

    session().tools.preview(job, frame, picture, settings, if_node_exists(node, show))


@report_errors
def compare(node: nuke.Node) -> None:
    """Have a movie made of the finished job: before, after, wipe."""
    state = next((state for state in jobs_of(node).values() if state.phase == "done"), None)
    if state is None:
        raise UsageError("there is no finished result to compare; submit first")

    def show(path: str, words: str) -> None:
        node["status"].setValue(words or f"The comparison is {path}")

    node["status"].setValue("Making the comparison...")
    session().tools.compare(job_file(state), settings_of(node), if_node_exists(node, show))


@report_errors
def open_folder(node: nuke.Node) -> None:
    """Show the result's folder in the system's file manager."""
    jobs = jobs_of(node)
    show_folder(folder_of(jobs) if jobs else output_root(node, settings_of(node)))


@report_errors
def check_server(node: nuke.Node) -> None:
    node["server_line"].setValue("Asking...")
    session().controller.check(settings_of(node), _line(node, "server_line"))


@report_errors
def free_gpu(node: nuke.Node) -> None:
    session().controller.free(settings_of(node), _line(node, "server_line"))


@report_errors
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
            attach_job(node, chosen, settings)

    session().controller.jobs(settings, choose)


def attach_job(node: nuke.Node, id: str, settings: Settings) -> None:
    """Show a job that the server knows, by its number."""

    def show(state: JobState, job: Job) -> None:
        jobs = {views_of(node)[0]: state}
        set_result_read(node, jobs, in_plates_space=job.colour.space != working_space()[0])
        store_jobs(node, jobs)
        node["show"].setValue(RESULT)
        session().controller.follow(state, settings)

    session().controller.find(id, settings, if_node_exists(node, show), _line(node, "server_line"))


def knob_changed(node: nuke.Node, knob: nuke.Knob) -> None:
    """Hints and freshness, for every change in the panel. Quick, and writes no knob that calls it again for long."""
    name = knob.name()
    if name == "prompt":
        hint = prompt_hint(str(knob.value()))
        if str(node["prompt_hint"].value()).strip() != hint:
            node["prompt_hint"].setValue(hint or " ")
    if name == "inputChange":
        update_freshness(node)
    elif name in _WATCHED:
        update_settings_freshness(node)


_WATCHED = {spec.name for spec in setting_specs()} | {"views", "own_files"}
_WATCHED |= {f"{role}_{part}" for role in ROLES for part in ("channel", "invert")}


def _line(node: nuke.Node, knob: str) -> Callable[[str], None]:
    """Shows a line in the panel, if the node is still there when it comes."""
    return if_node_exists(node, lambda text: node[knob].setValue(text or " "))
