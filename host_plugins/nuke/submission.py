"""From a node to its jobs: what is asked for at one moment, its export, its version, its orders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.request import Order, make_job
from host_plugins.control.settings import Settings
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.nuke.export import NukeExport, plan_export
from host_plugins.nuke.freshness import fingerprint, record_submitted
from host_plugins.nuke.panel import SHOW_CHOICES, settings_of, views_of
from host_plugins.nuke.result import Jobs, set_result_read, store_jobs
from void_bridge.errors import UsageError

RESULT, OVERLAY = SHOW_CHOICES[1], SHOW_CHOICES[3]


@dataclass(frozen=True)
class NukeSubmission:
    """What a node asks for. made: of what, as freshness.fingerprint said at that moment."""

    node: nuke.Node
    settings: Settings
    plans: Tuple[NukeExport, ...]
    made: str

    @property
    def sends_own_files(self) -> bool:
        return not any(piece.name == "plate" for plan in self.plans for piece in plan.pieces)


def prepare(node: nuke.Node, settings: Optional[Settings] = None, folder: Optional[Path] = None) -> NukeSubmission:
    """Look at everything and write nothing.

    Args:
        settings: default: the node's. folder: where plate and roto go; default: beside the results.

    Raises:
        VoidBridgeError: whatever is wrong with knobs or inputs.
    """
    settings = settings or settings_of(node)
    return NukeSubmission(node, settings, plans_of(node, settings, folder), fingerprint(node))


def plans_of(node: nuke.Node, settings: Settings, folder: Optional[Path] = None) -> Tuple[NukeExport, ...]:
    """What has to be written, for each view. Raises VoidBridgeError."""
    folder = folder or exports_folder(node, settings)
    return tuple(plan_export(node, settings, view, folder) for view in views_of(node))


def hand_over(submission: NukeSubmission, controller: Controller) -> Jobs:
    """Make a version, give one order for each view to the controller, and let the node show what comes.

    Raises:
        UsageError, OutputError: no job can be made, or no version; nothing is left of it.
    """
    _, orders = make_orders(submission)
    jobs: Jobs = {view: controller.submit(order) for view, order in orders.items()}
    show_jobs(submission, jobs)
    return jobs


def make_orders(submission: NukeSubmission) -> Tuple[Version, Dict[str, Order]]:
    """Make a version, and one order for each view. Raises as hand_over."""
    version = new_version(output_root(submission.node, submission.settings), stem_of(submission.node))
    try:
        return version, _orders(submission, version)
    except Exception:
        version.abandon()
        raise


def show_jobs(submission: NukeSubmission, jobs: Jobs) -> None:
    """Store the new jobs in the node and show what comes of them."""
    node = submission.node
    set_result_read(node, jobs, in_plates_space=submission.sends_own_files)
    store_jobs(node, jobs)
    record_submitted(node, submission.made)
    node["show"].setValue(RESULT)


def _orders(submission: NukeSubmission, version: Version) -> Dict[str, Order]:
    """By view, all in one version; where the script has several views, each has a folder of its name in it."""
    settings, orders = submission.settings, {}
    for plan in submission.plans:
        folder = version.folder / plan.view if len(nuke.views()) > 1 else version.folder
        output = (folder / Path(version.pattern).name).as_posix()
        orders[plan.view] = Order(make_job(settings, plan.shot, output), settings)
    return orders


def output_root(node: nuke.Node, settings: Settings) -> Path:
    """Where versions go. Raises UsageError: no folder is set and the script has never been saved."""
    if settings.folder:
        return Path(settings.folder)
    script = nuke.root().name()
    if not Path(script).is_absolute():
        raise UsageError("save the script first, or set an output folder: results go beside the script")
    return Path(script).parent / "void"


def exports_folder(node: nuke.Node, settings: Settings) -> Path:
    return output_root(node, settings) / "exports"


def stem_of(node: nuke.Node) -> str:
    """`<script>_<node>`, as a part of file names."""
    script = Path(nuke.root().name())
    name = script.stem if script.suffix == ".nk" else "untitled"
    return safe_name(f"{name}_{node.fullName()}")
