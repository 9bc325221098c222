"""The one controller of this Nuke, and the callbacks that keep nodes and jobs together.

Jobs are known by number: every node that remembers a job shows its news, whatever it is called, wherever it was
copied to. A job whose node is gone goes on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Callable, Dict, Optional, Tuple

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.job_follower import OnState
from host_plugins.control.state import JobState
from host_plugins.control.tools import Tools
from host_plugins.farm.host_submission import news
from host_plugins.nuke.background import SecondNuke
from host_plugins.nuke.freshness import update_freshness
from host_plugins.nuke.node import void_nodes
from host_plugins.nuke.panel import STATE, server_settings, show_engines
from host_plugins.nuke.result import jobs_of, reload_result, store_jobs


class NukeSession:
    """Use from the main thread."""

    def __init__(self) -> None:
        self.controller = Controller(
            post=on_main_thread, on_state=self.show, farm_status=news, on_engines=offer_engines
        )
        self.tools = Tools(post=on_main_thread)
        self.exports: Dict[str, SecondNuke] = {}  # by the node's name
        self._listeners: Dict[str, OnState] = {}

    def listen(self, id: str, on_state: OnState) -> None:
        """Call `on_state` with each state of a job that no node shows."""
        self._listeners[id] = on_state

    def show(self, state: JobState) -> None:
        """Bring the news of one job to every node that remembers it.

        News are no change of the script, for they come again when it is opened: one that was saved counts as saved.
        """
        if state.id in self._listeners:
            self._listeners[state.id](state)
        had_changes = nuke.root().modified()
        for node in void_nodes():
            jobs = jobs_of(node)
            views = [view for view, known in jobs.items() if known.id == state.id]
            if views:
                is_news = any(jobs[view].ready != state.ready for view in views)
                store_jobs(node, {**jobs, **dict.fromkeys(views, state)})
                if state.phase == "done" and is_news:
                    reload_result(node)
        nuke.root().setModified(had_changes)

    def resume(self, node: nuke.Node) -> None:
        """Pick up the jobs of a node from a script that was opened or pasted."""
        for state in jobs_of(node).values():
            if state.is_alive:
                self.controller.follow(state, server_settings(node, state))


def offer_engines(engines: Tuple[str, ...]) -> None:
    """Offer the engines of a server that answered in every node."""
    for node in void_nodes():
        show_engines(node, engines)


def on_main_thread(call: Callable[[], None]) -> None:
    nuke.executeInMainThread(call)


_session: Dict[str, NukeSession] = {}


def session() -> NukeSession:
    """The session of this Nuke, made when it is first needed."""
    return _session.setdefault("this", NukeSession())


def stop() -> None:
    """Forget the session; jobs go on at their servers."""
    found = _session.pop("this", None)
    if found is not None:
        found.controller.stop()


def add_callbacks() -> None:
    """For an interface: resume when a script is opened or a node pasted, look for changes before one is saved."""
    nuke.addOnScriptLoad(on_script_load)
    nuke.addOnScriptSave(on_script_save)
    nuke.addOnCreate(on_create, nodeClass="Group")


def on_script_load() -> None:
    for node in void_nodes():
        session().resume(node)
        update_freshness(node)


def on_script_save() -> None:
    """So that a render of the saved script knows whether a result is stale."""
    for node in void_nodes():
        update_freshness(node)


def on_create() -> None:
    node: Optional[nuke.Node] = nuke.thisNode()
    if node is not None and node.knob(STATE) and node[STATE].value():
        with suppress(ValueError):  # the node is not whole yet; loading the script resumes it
            session().resume(node)
