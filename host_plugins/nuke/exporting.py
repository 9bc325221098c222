"""Exports of one or more nodes, here or in a second Nuke, and what is to be done when everything is on disk."""

from __future__ import annotations

from typing import Callable, Sequence

import nuke

from host_plugins.nuke.background import SecondNuke
from host_plugins.nuke.export import export, ranges, write_nodes
from host_plugins.nuke.guard import if_node_exists, report_errors
from host_plugins.nuke.panel import BACKGROUND_CHOICES
from host_plugins.nuke.session import on_main_thread, session
from host_plugins.nuke.submission import NukeSubmission
from void_bridge.errors import Cancelled, InputError

Then = Callable[[], None]


def export_all(submissions: Sequence[NukeSubmission], then: Then) -> None:
    """Write what is missing, one node after the other, each as its own knob says.

    Args:
        then: called on the main thread at the end, unless an export failed or was stopped.

    Raises:
        Cancelled, InputError: an export under Nuke's own bar; one in a second Nuke tells by itself.
    """
    if not submissions:
        then()
        return
    first, *rest = submissions
    if goes_to_background(first.node):
        _in_background(first, lambda: export_all(rest, then))
        return
    for plan in first.plans:
        export(first.node, plan)
    export_all(rest, then)


def goes_to_background(node: nuke.Node) -> bool:
    """Whether a second Nuke writes a node's plate and roto."""
    return str(node["background"].value()) != BACKGROUND_CHOICES[0]


def _in_background(submission: NukeSubmission, then: Then) -> None:
    """One view after the other."""
    node = submission.node
    plan = next((plan for plan in submission.plans if plan.missing), None)
    if plan is None:
        then()
        return

    @report_errors
    def ended(node: nuke.Node, words: str) -> None:
        session().exports.pop(node.fullName(), None)
        if words == "stopped":
            raise Cancelled("export cancelled; what was written is kept for the next time")
        if words or plan.missing:
            raise InputError(words or f"the second Nuke left frames {plan.missing} out")
        _in_background(submission, then)

    def on_end(words: str) -> None:
        on_main_thread(lambda: if_node_exists(node, ended)(node, words))

    with write_nodes(node, plan) as writes:
        steps = [list(step) for step in ranges(plan.missing)]
        interactive = str(node["background"].value()) == BACKGROUND_CHOICES[2]
        session().exports[node.fullName()] = SecondNuke(writes, steps, plan.view, interactive, on_end)
    node["status"].setValue("A second Nuke writes plate and roto...")
