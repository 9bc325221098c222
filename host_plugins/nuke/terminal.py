"""Jobs without an interface: `nuke -t` scripts and farm tasks. Everything here waits for its job."""

from __future__ import annotations

import queue
from typing import Callable, Optional

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.state import JobState
from host_plugins.control.versions import new_version
from host_plugins.nuke.actions import RESULT, orders_of, output_root, plans_of, stem_of
from host_plugins.nuke.export import export
from host_plugins.nuke.freshness import note_submitted
from host_plugins.nuke.panel import settings_of
from host_plugins.nuke.result import Jobs, jobs_of, point_at, remember
from void_bridge.errors import Cancelled, VoidBridgeError


def render(node: nuke.Node) -> None:
    """Submit a node's jobs, wait until every frame is on disk, and show the result. Starts no server.

    Raises:
        VoidBridgeError: what went wrong, as a button would have said it.
    """
    settings = settings_of(node)
    plans = plans_of(node, settings)
    for plan in plans:
        export(node, plan)
    version = new_version(output_root(node, settings), stem_of(node))
    try:
        orders = orders_of(settings, plans, version)
    except Exception:
        version.abandon()
        raise
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    controller = Controller(post=posted.put, on_state=lambda state: _show(node, state), interactive=False)
    jobs: Jobs = {view: controller.submit(order) for view, order in orders.items()}
    point_at(node, jobs, not any(piece.name == "plate" for plan in plans for piece in plan.pieces))
    remember(node, jobs)
    note_submitted(node)
    node["show"].setValue(RESULT)
    _drain(controller, posted, jobs)
    _raise_failure(jobs_of(node))


def _drain(controller: Controller, posted: queue.Queue[Callable[[], None]], jobs: Jobs) -> None:
    while any(controller.is_following(state.id) for state in jobs.values()) or not posted.empty():
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
    remember(node, {**jobs, view: state})


def _raise_failure(jobs: Jobs) -> None:
    for state in jobs.values():
        if state.phase == "cancelled":
            raise Cancelled(state.line)
        if state.phase != "done":
            raise VoidBridgeError(f"job {state.id} {state.phase}: {state.line}")
