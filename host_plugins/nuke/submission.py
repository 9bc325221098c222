"""The way from a node to its jobs: the export, here or in a second Nuke, then a version and one order for each view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence, Tuple

import nuke

from host_plugins.control.controller import Controller
from host_plugins.control.request import Order, make_job
from host_plugins.control.settings import Settings
from host_plugins.control.versions import Version, new_version, safe_name
from host_plugins.nuke.background import SecondNuke
from host_plugins.nuke.export import NukeExport, all_frames, plan_export, ranges, write_export, write_nodes
from host_plugins.nuke.freshness import fingerprint, record_submitted
from host_plugins.nuke.panel import BACKGROUND_CHOICES, SHOW_CHOICES, settings_of, views_of
from host_plugins.nuke.result import Jobs, set_result_read, store_jobs
from host_plugins.nuke.session import if_node_exists, on_main_thread, report_errors, session
from void_bridge.errors import Cancelled, InputError, UsageError

RESULT, OVERLAY = SHOW_CHOICES[1], SHOW_CHOICES[3]


@dataclass(frozen=True)
class NukeSubmission:
    """A submission of a node, as its knobs and inputs were when the artist asked for it.

    Attributes:
        node: the VOIDRemove node.
        settings: its settings.
        exports: one for each view.
        fingerprint: of the inputs and settings, see `freshness.fingerprint`.
    """

    node: nuke.Node
    settings: Settings
    exports: Tuple[NukeExport, ...]
    fingerprint: str

    @property
    def sends_own_files(self) -> bool:
        """Whether the plate's own files are sent, so that only mattes are exported."""
        return not any(sequence.name == "plate" for export in self.exports for sequence in export.sequences)


@dataclass(frozen=True)
class NukeOrders:
    """The orders of a submission, by view, all in one new version."""

    submission: NukeSubmission
    version: Version
    orders: Dict[str, Order]


def prepare(node: nuke.Node, settings: Optional[Settings] = None, folder: Optional[Path] = None) -> NukeSubmission:
    """Check knobs and inputs and return a submission; write nothing.

    Args:
        node: the VOIDRemove node.
        settings: the settings; default: those of the node.
        folder: the folder of exports; default: beside the results.

    Raises:
        VoidBridgeError: a knob or an input is wrong.
    """
    settings = settings or settings_of(node)
    return NukeSubmission(node, settings, plan_exports(node, settings, folder), fingerprint(node))


def plan_exports(node: nuke.Node, settings: Settings, folder: Optional[Path] = None) -> Tuple[NukeExport, ...]:
    """Return what has to be written for each view. Raises as `prepare`."""
    folder = folder or exports_folder(node, settings)
    return tuple(plan_export(node, settings, view, folder) for view in views_of(node))


def export_all(submissions: Sequence[NukeSubmission], on_done: Callable[[], None]) -> None:
    """Write what is missing, one node after the other, in this Nuke or a second one as each node's knob says.

    Args:
        submissions: the nodes to export.
        on_done: called on the main thread at the end, unless an export fails or is stopped.

    Raises:
        Cancelled: the artist stopped an export in this Nuke.
        InputError: an export in this Nuke failed. One in a second Nuke reports its errors in a message.
    """
    if not submissions:
        on_done()
        return
    first, *rest = submissions
    if uses_background(first.node):
        _export_in_background(first, lambda: export_all(rest, on_done))
        return
    for export in first.exports:
        write_export(first.node, export)
    export_all(rest, on_done)


def uses_background(node: nuke.Node) -> bool:
    """Return whether a second Nuke writes a node's plate and roto."""
    return str(node["background"].value()) != BACKGROUND_CHOICES[0]


def submit_orders(submission: NukeSubmission, controller: Controller) -> None:
    """Create a version, submit one order for each view, and let the node show the jobs.

    Raises:
        UsageError: no job can be made.
        OutputError: no version can be created.
    """
    orders = make_orders(submission).orders
    show_jobs(submission, {view: controller.submit(order) for view, order in orders.items()})


def make_orders(submission: NukeSubmission) -> NukeOrders:
    """Create a version and one order for each view. Raises as `submit_orders`; no version is left then."""
    version = new_version(output_root(submission.node, submission.settings), stem_of(submission.node))
    try:
        return NukeOrders(submission, version, _orders(submission, version))
    except Exception:
        version.abandon()
        raise


def show_jobs(submission: NukeSubmission, jobs: Jobs) -> None:
    """Store new jobs in the node and show their results."""
    node = submission.node
    set_result_read(node, jobs, in_plates_space=submission.sends_own_files)
    store_jobs(node, jobs)
    record_submitted(node, submission.fingerprint)
    node["show"].setValue(RESULT)


def output_root(node: nuke.Node, settings: Settings) -> Path:
    """Return the folder of versions.

    Raises:
        UsageError: no folder is set and the script has never been saved.
    """
    if settings.folder:
        return Path(settings.folder)
    script = nuke.root().name()
    if not Path(script).is_absolute():
        raise UsageError("save the script first, or set an output folder: results are written next to the script")
    return Path(script).parent / "void"


def exports_folder(node: nuke.Node, settings: Settings) -> Path:
    """Return the folder of exports. Raises as `output_root`."""
    return output_root(node, settings) / "exports"


def stem_of(node: nuke.Node) -> str:
    """Return `<script>_<node>`, as a part of file names."""
    script = Path(nuke.root().name())
    name = script.stem if script.suffix == ".nk" else "untitled"
    return safe_name(f"{name}_{node.fullName()}")


def _export_in_background(submission: NukeSubmission, on_done: Callable[[], None]) -> None:
    """Write what the first incomplete view lacks in a second Nuke, then continue with the next view."""
    node = submission.node
    scanned = ((export, export.scan_missing()) for export in submission.exports)
    export, missing = next(((export, missing) for export, missing in scanned if missing), (None, {}))
    if export is None:
        on_done()
        return

    @report_errors
    def finish(node: nuke.Node, error: str) -> None:
        session().exports.pop(node.fullName(), None)
        if error == "stopped":
            raise Cancelled("export cancelled; the frames that were written are kept for the next export")
        left = export.scan_missing()
        if error or left:
            raise InputError(error or f"the second Nuke did not write frames {all_frames(left)}")
        _export_in_background(submission, on_done)

    def on_end(error: str) -> None:
        on_main_thread(lambda: if_node_exists(node, finish)(node, error))

    with write_nodes(node, missing) as writes:
        interactive = str(node["background"].value()) == BACKGROUND_CHOICES[2]
        session().exports[node.fullName()] = SecondNuke(writes, ranges(missing), export.view, interactive, on_end)
    node["status"].setValue("A second Nuke is writing plate and roto...")


def _orders(submission: NukeSubmission, version: Version) -> Dict[str, Order]:
    """Return an order for each view; where the script has several views, each writes into a folder of its name."""
    settings, orders = submission.settings, {}
    for export in submission.exports:
        folder = version.folder / export.view if len(nuke.views()) > 1 else version.folder
        output = (folder / Path(version.pattern).name).as_posix()
        orders[export.view] = Order(make_job(settings, export.shot, output), settings)
    return orders
