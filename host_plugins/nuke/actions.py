"""The actions of the buttons. Each takes the node, reports errors in a message, and never breaks the interface."""

from __future__ import annotations

from typing import Callable, Tuple

import nuke

from host_plugins.control.desktop import show_folder
from host_plugins.control.job_follower import job_file
from host_plugins.control.request import make_job, prompt_hint
from host_plugins.control.settings import Settings, setting_specs
from host_plugins.control.state import JobState
from host_plugins.nuke.colour import working_space
from host_plugins.nuke.export import write_export
from host_plugins.nuke.farm import submit_to_farm
from host_plugins.nuke.freshness import update_freshness, update_settings_freshness
from host_plugins.nuke.inputs import ROLES
from host_plugins.nuke.node import inside
from host_plugins.nuke.panel import server_settings, settings_of, views_of
from host_plugins.nuke.result import folder_of, jobs_of, reload_result, set_result_read, store_jobs
from host_plugins.nuke.session import if_node_exists, report_errors, session
from host_plugins.nuke.submission import (
    OVERLAY,
    RESULT,
    export_all,
    exports_folder,
    output_root,
    plan_exports,
    prepare,
    stem_of,
    submit_orders,
    uses_background,
)
from void_bridge.errors import UsageError
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus

_SUBMITTED_KNOBS = {spec.name for spec in setting_specs()} | {"views", "own_files"}
_SUBMITTED_KNOBS |= {f"{role}_{part}" for role in ROLES for part in ("channel", "invert")}


@report_errors
def submit(node: nuke.Node) -> None:
    """Export what has changed, create a new version, and submit one job for each view."""
    if node["where"].value() == "farm":
        submit_to_farm(node)
        return
    if node.fullName() in session().exports:
        raise UsageError("a second Nuke is still writing plate and roto for this node; press Cancel to stop it")
    if any(state.is_alive for state in jobs_of(node).values()) and not nuke.ask(
        "This node's last job is still running and will continue. Submit another version?"
    ):
        return
    submission = prepare(node)

    def submit_exported() -> None:
        submit_orders(submission, session().controller)
        if uses_background(node):
            update_freshness(node)  # something may have changed while a second Nuke wrote it

    export_all([submission], submit_exported)


@report_errors
def cancel(node: nuke.Node) -> None:
    """Ask for the node's jobs, or its export, to be cancelled; the panel reports when they are."""
    export = session().exports.get(node.fullName())
    if export is not None:
        export.stop()
        return
    alive = [state for state in jobs_of(node).values() if state.is_alive]
    if not alive:
        node["status"].setValue("No job is running for this node.")
    for state in alive:
        session().controller.cancel(state, server_settings(node, state), _set_line(node, "status"))


@report_errors
def reload(node: nuke.Node) -> None:
    """Ask again for the state of the jobs, and read the frames on disk again."""
    update_freshness(node)
    for state in jobs_of(node).values():
        if state.id and state.phase != "cancelled":
            session().controller.follow(state, server_settings(node, state))
    if jobs_of(node):
        reload_result(node)


@report_errors
def preview(node: nuke.Node) -> None:
    """Export this frame's plate and mattes, let their overlay be made, and show it."""
    settings = settings_of(node)
    frame = nuke.frame()
    one = settings.replace(frames_from="custom", frames=str(frame), handles=0)
    export = plan_exports(node, one)[0]
    write_export(node, export)
    folder = exports_folder(node, settings)
    job = make_job(one, export.shot, (folder / "quadmask.####.exr").as_posix())
    picture = folder / f"{stem_of(node)}_quadmask.{frame:04d}.png"

    def show(path: str, error: str) -> None:
        if error:
            nuke.message(f"{node.name()}: {error}")
            return
        read = inside(node, "overlay")
        read["file"].setValue(path)
        read["reload"].execute()  # type: ignore[attr-defined]
        node["show"].setValue(OVERLAY)

    session().tools.preview(job, frame, picture, settings, if_node_exists(node, show))


@report_errors
def compare(node: nuke.Node) -> None:
    """Make a movie of the finished job: before, after, wipe."""
    state = next((state for state in jobs_of(node).values() if state.phase == "done"), None)
    if state is None:
        raise UsageError("there is no finished result to compare; submit first")

    def show(path: str, error: str) -> None:
        node["status"].setValue(error or f"The comparison was written to {path}")

    node["status"].setValue("Writing the comparison...")
    session().tools.compare(job_file(state), settings_of(node), if_node_exists(node, show))


@report_errors
def open_folder(node: nuke.Node) -> None:
    """Show the result's folder in the system's file manager."""
    jobs = jobs_of(node)
    show_folder(folder_of(jobs) if jobs else output_root(node, settings_of(node)))


@report_errors
def check_server(node: nuke.Node) -> None:
    """Show in the panel which server answers, how fast, and its engines."""
    node["server_line"].setValue("Asking...")
    session().controller.check(settings_of(node), _set_line(node, "server_line"))


@report_errors
def free_gpu(node: nuke.Node) -> None:
    """Make idle workers release their GPU memory."""
    session().controller.free(settings_of(node), _set_line(node, "server_line"))


@report_errors
def find_jobs(node: nuke.Node) -> None:
    """Ask the artist for one of the server's jobs, and show its result in this node."""
    settings = settings_of(node)

    def choose(found: Tuple[JobStatus, ...], error: str) -> None:
        if error or not found:
            nuke.message(error or "The server has no jobs.")
            return
        lines = "\n".join(f"{each.id}  {each.state}  {each.frames_done}/{each.frames}  {each.user}" for each in found)
        chosen = (nuke.getInput(f"Job id:\n{lines}", found[0].id) or "").strip()
        if chosen:
            attach_job(node, chosen, settings)

    session().controller.jobs(settings, choose)


def attach_job(node: nuke.Node, id: str, settings: Settings) -> None:
    """Show the result of one of the server's jobs in a node.

    Args:
        node: the VOIDRemove node.
        id: the job's id.
        settings: name the server.
    """

    def show(state: JobState, job: Job) -> None:
        jobs = {views_of(node)[0]: state}
        set_result_read(node, jobs, in_plates_space=job.colour.space != working_space()[0])
        store_jobs(node, jobs)
        node["show"].setValue(RESULT)
        session().controller.follow(state, settings)

    session().controller.find(id, settings, if_node_exists(node, show), _set_line(node, "server_line"))


def knob_changed(node: nuke.Node, knob: nuke.Knob) -> None:
    """Update hint and freshness after a change in the panel.

    Nuke calls this for every change, also for those made here, so it is quick and sets a knob only to a new value.
    """
    name = knob.name()
    if name == "prompt":
        hint = prompt_hint(str(knob.value()))
        if str(node["prompt_hint"].value()).strip() != hint:
            node["prompt_hint"].setValue(hint or " ")
    if name == "inputChange":
        update_freshness(node)
    elif name in _SUBMITTED_KNOBS:
        update_settings_freshness(node)


def _set_line(node: nuke.Node, knob: str) -> Callable[[str], None]:
    """Return a function that shows a line in the panel, if the node still exists then."""
    return if_node_exists(node, lambda text: node[knob].setValue(text or " "))
