"""Jobs without an interface: `nuke -t` scripts and farm tasks. Every function here waits for its job."""

from __future__ import annotations

import dataclasses
import queue
from pathlib import Path
from typing import Callable

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.state import JobState
from host_plugins.farm.host_submission import farm_status
from host_plugins.farm.settings import read_sticky
from host_plugins.nuke.export import write_export
from host_plugins.nuke.farm import hand_to_farm, make_all_orders, prepare_for_farm
from host_plugins.nuke.result import Jobs, jobs_of, store_jobs
from host_plugins.nuke.submission import NukeSubmission, prepare, submit_orders
from void_bridge.config import load
from void_bridge.errors import Cancelled, VoidBridgeError


def render(node: nuke.Node) -> None:
    """Submit a node's jobs, wait until every frame is on disk, and show the result. Starts no server.

    With `farm` no dialog is shown: the settings are those that were used last in this script. This node alone is
    submitted, and no comp is rendered after it.

    Raises:
        VoidBridgeError: the error that a button would have shown.
    """
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    controller = Controller(posted.put, lambda state: _show(node, state), interactive=False, farm_status=farm_status)
    if node["where"].value() == "farm":
        _submit_to_farm(node, controller)
    else:
        submission = prepare(node)
        _write_exports(submission)
        submit_orders(submission, controller)
    _run_posted(controller, posted)
    _raise_failure(jobs_of(node))


def _submit_to_farm(node: nuke.Node, controller: Controller) -> None:
    config = load().config
    settings = dataclasses.replace(read_sticky(Path(nuke.root().name()), config), comp=False)
    submission = prepare_for_farm(node, config)
    _write_exports(submission)
    prepared, text = make_all_orders([submission], settings, config)
    for line in text.splitlines():
        nuke.tprint(line)
    hand_to_farm(prepared, settings, None, controller)


def _write_exports(submission: NukeSubmission) -> None:
    for export in submission.exports:
        write_export(submission.node, export)


def _run_posted(controller: Controller, posted: queue.Queue[Callable[[], None]]) -> None:
    """Run the controller's calls on this thread until no job is followed any more."""
    while controller.followed_ids() or not posted.empty():
        try:
            call = posted.get(timeout=0.2)
        except queue.Empty:
            continue
        call()


def _show(node: nuke.Node, state: JobState) -> None:
    """Store a job's new state in the node, and print a line that is new."""
    jobs = jobs_of(node)
    view = next(view for view, known in jobs.items() if known.id == state.id)
    if state.line != jobs[view].line:
        nuke.tprint(f"VOIDRemove {node.name()} {view}: {state.line}")
    store_jobs(node, {**jobs, view: state})


def _raise_failure(jobs: Jobs) -> None:
    for state in jobs.values():
        if state.phase == "cancelled":
            raise Cancelled(state.line)
        if state.phase != "done":
            raise VoidBridgeError(f"job {state.id} {state.phase}: {state.line}")
