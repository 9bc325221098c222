"""The one controller of this Nuke, and how its news and errors reach nodes and the artist.

Nodes store the ids of their jobs. News of a job reach every node that stores its id, so a node may be renamed or
copied. A job whose node is deleted goes on.
"""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import Any, Callable, Dict, Tuple

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import OnState
from host_plugins.control.state import JobState
from host_plugins.control.tools import PixelTools
from host_plugins.farm.host_submission import farm_status
from host_plugins.nuke.background import SecondNuke
from host_plugins.nuke.node import void_nodes
from host_plugins.nuke.panel import server_settings, show_engines
from host_plugins.nuke.result import jobs_of, reload_result, store_jobs
from void_bridge.errors import Cancelled, VoidBridgeError

log = logging.getLogger(__name__)


class NukeSession:
    """The jobs, tools and background exports of this Nuke; for its main thread only.

    Attributes:
        controller: runs the jobs.
        tools: makes previews and movies.
        exports: the background exports that run, by the full name of their node.
    """

    def __init__(self) -> None:
        self.controller = Controller(on_main_thread, self.show, farm_status=farm_status, on_engines=offer_engines)
        self.tools = PixelTools(post=on_main_thread)
        self.exports: Dict[str, SecondNuke] = {}
        self._listeners: Dict[str, OnState] = {}

    def listen(self, id: str, on_state: OnState) -> None:
        """Call `on_state` with each state of a job that no node shows."""
        self._listeners[id] = on_state

    def show(self, state: JobState) -> None:
        """Show a job's new state in every node that stores the job.

        A state does not change the script, for it is read again when the script is opened: a script that was saved
        counts as saved afterwards.
        """
        if state.id in self._listeners:
            self._listeners[state.id](state)
        had_changes = nuke.root().modified()
        for node in void_nodes():
            jobs = jobs_of(node)
            views = [view for view, known in jobs.items() if known.id == state.id]
            if views:
                has_new_frames = any(jobs[view].ready != state.ready for view in views)
                store_jobs(node, {**jobs, **dict.fromkeys(views, state)})
                if state.phase == "done" and has_new_frames:
                    reload_result(node)
        nuke.root().setModified(had_changes)

    def resume(self, node: nuke.Node) -> None:
        """Follow the jobs of a node from a script that was opened or pasted."""
        for state in jobs_of(node).values():
            if state.is_alive:
                self.controller.follow(state, server_settings(node, state))


def offer_engines(engines: Tuple[str, ...]) -> None:
    """Offer the engines of a server that answered in every node."""
    for node in void_nodes():
        show_engines(node, engines)


def on_main_thread(call: Callable[[], None]) -> None:
    """Run a call on Nuke's main thread, later."""
    nuke.executeInMainThread(call)


@functools.cache
def session() -> NukeSession:
    """Return the session of this Nuke, created at the first call."""
    return NukeSession()


def stop() -> None:
    """Forget the session; jobs go on at their servers."""
    session().controller.stop()
    session.cache_clear()


def report_errors(action: Callable[..., Any]) -> Callable[..., None]:
    """Wrap an action on a node so that an exception becomes a message for the artist."""

    @functools.wraps(action)
    def wrapper(node: nuke.Node, *arguments: Any) -> None:
        try:
            action(node, *arguments)
        except Cancelled as exc:
            node["status"].setValue(artist_message(exc))
        except Exception as exc:
            if not isinstance(exc, VoidBridgeError):
                log.exception("%s failed", action.__name__)
            nuke.message(f"{node.name()}: {artist_message(exc)}")

    return wrapper


def if_node_exists(node: nuke.Node, call: Callable[..., Any]) -> Callable[..., None]:
    """Wrap a call so that it does nothing once the node is deleted; Nuke raises ValueError for such a node."""

    def wrapper(*arguments: Any) -> None:
        with suppress(ValueError):
            node.name()
            call(*arguments)

    return wrapper
