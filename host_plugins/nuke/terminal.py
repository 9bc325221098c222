"""Jobs without an interface: `nuke -t` scripts and farm tasks. Everything here waits for its job."""

from __future__ import annotations

import dataclasses
import queue
from pathlib import Path
from typing import Callable, Optional

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.state import JobState
from host_plugins.farm.host_submission import news
from host_plugins.farm.settings import read_sticky
from host_plugins.nuke.export import export
from host_plugins.nuke.farm import hand_to_farm, make_all_orders, prepared
from host_plugins.nuke.result import Jobs, jobs_of, store_jobs
from host_plugins.nuke.submission import NukeSubmission, hand_over, prepare
from void_bridge.config import load
from void_bridge.errors import Cancelled, VoidBridgeError


def render(node: nuke.Node) -> None:
    """Submit a node's jobs, wait until every frame is on disk, and show the result. Starts no server.

    With `farm` nobody is asked: the settings are those that were used last in this script; this node alone is
    submitted, and no comp after it.

    Raises:
        VoidBridgeError: what went wrong, as a button would have said it.
    """
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    controller = Controller(
        post=posted.put, on_state=lambda state: _show(node, state), interactive=False, farm_status=news
    )
    if node["where"].value() == "farm":
        _hand_to_farm(node, controller)
    else:
        submission = prepare(node)
        _export(submission)
        hand_over(submission, controller)
    _drain(controller, posted)
    _raise_failure(jobs_of(node))


def _hand_to_farm(node: nuke.Node, controller: Controller) -> None:
    config = load().config
    settings = dataclasses.replace(read_sticky(Path(nuke.root().name()), config), comp=False)
    submission = prepared(node, config)
    _export(submission)
    made, text = make_all_orders([submission], settings, config)
    for line in text.splitlines():
        nuke.tprint(line)
    hand_to_farm(made, settings, None, controller)


def _export(submission: NukeSubmission) -> None:
    for plan in submission.plans:
        export(submission.node, plan)


def _drain(controller: Controller, posted: queue.Queue[Callable[[], None]]) -> None:
    while controller.followed_ids() or not posted.empty():
        try:
            call: Optional[Callable[[], None]] = posted.get(timeout=0.2)
        except queue.Empty:
            call = None
        if call is not None:
            call()


def _show(node: nuke.Node, state: JobState) -> None:
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
