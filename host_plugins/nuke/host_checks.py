"""Checks that only Nuke itself can pass or fail. Each returns a few words about the values it found."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Tuple

import nuke

from host_plugins.control.host_checks import HostCheck
from host_plugins.control.settings import setting_specs
from host_plugins.control.state import JobState
from host_plugins.farm.settings import EVERY, FARMS, FarmSettings
from host_plugins.nuke import colour, digest, inputs, node, panel, result
from host_plugins.nuke.background import SecondNuke
from host_plugins.nuke.export import NukeExport, write_export
from host_plugins.nuke.farm import ask
from host_plugins.nuke.freshness import fingerprint, record_submitted
from host_plugins.nuke.submission import plan_exports
from void_bridge.config import Config
from void_bridge.errors import Cancelled
from void_bridge.frames import FrameRange

WIDTH, HEIGHT = 64, 48
LEFT, RIGHT = (8, 8), (56, 8)  # a pixel inside the matte, one outside


class NukeCheckFixture:
    """A small comp in the current group: a plate of 2.5, a matte over its left half, and a VOIDRemove of both.

    Attributes:
        folder: the folder of exports and renders.
        plate: the plate.
        matte: the matte.
        node: the VOIDRemove.
        first: the first frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plate = _rectangle(2.5, WIDTH)
        self.matte = _rectangle(1.0, WIDTH // 2)
        self.node = node.create()
        self.node.setInput(0, self.plate)
        self.node.setInput(1, self.matte)
        self.first = self.plate.firstFrame()
        for name, value in (("frames_from", "custom"), ("frames", str(self.first)), ("folder", folder.as_posix())):
            self.node[name].setValue(value)
        self.node["engine"].setValue("propagate")

    def export(self) -> NukeExport:
        """Export plate and roto and return the export."""
        export = plan_exports(self.node, panel.settings_of(self.node))[0]
        write_export(self.node, export)
        return export

    def show_result(self) -> None:
        """Show two frames of 9.0 over the matte, as a server would deliver them; the second counts as not ready."""
        pattern = (self.folder / "delivered" / "clean.####.exr").as_posix()
        if not (self.folder / "delivered").exists():
            source = nuke.nodes.Copy(inputs=[_rectangle(9.0, WIDTH), self.matte])
            source["from0"].setValue("alpha")
            source["to0"].setValue(f"{node.LAYER}.paste")
            write = nuke.nodes.Write(inputs=[source], file_type="exr", raw=True, channels="all")
            write["create_directories"].setValue(True)
            write["file"].setValue(pattern)
            nuke.execute(write, self.first, self.first + 1)
        jobs = {"main": JobState("selftest", "running", "", pattern, f"{self.first}-{self.first + 1}", str(self.first))}
        result.set_result_read(self.node, jobs, in_plates_space=False)
        result.store_jobs(self.node, jobs)
        self.node["show"].setValue(panel.SHOW_CHOICES[1])


def _rectangle(value: float, width: int) -> Any:
    """Return `value` from the left edge to `width`, and black to its right, in a frame of WIDTH x HEIGHT."""
    whole = nuke.nodes.Crop(inputs=[nuke.nodes.Constant(color=value)], box=(0, 0, WIDTH, HEIGHT), reformat=True)
    return nuke.nodes.Crop(inputs=[whole], box=(0, 0, width, HEIGHT))


def _read(fixture: NukeCheckFixture, pattern: str) -> Any:
    return nuke.nodes.Read(file=pattern, raw=True, first=fixture.first, last=fixture.first + 1)


def _sample(source: Any, pixel: Tuple[int, int], channel: str = "red") -> float:
    return float(source.sample(channel, pixel[0] + 0.5, pixel[1] + 0.5))


def _assert_equal(found: object, expected: object) -> str:
    assert found == expected, f"got {found!r}, expected {expected!r}"
    return str(found)


def _panel_is_whole(fixture: NukeCheckFixture) -> str:
    for spec in setting_specs():
        knob = fixture.node[spec.name]
        _assert_equal(knob.tooltip(), spec.tip)
    return f"{len(fixture.node.knobs())} knobs"


def _panel_looks_right(fixture: NukeCheckFixture) -> str:
    fixture.node.showControlPanel()
    assert nuke.ask("Does the panel of VOIDRemove look like the picture in docs/artists/nuke.md?"), "the answer was no"
    return "seen by a person"


def _menu_is_there(fixture: NukeCheckFixture) -> str:
    assert nuke.menu("Nodes").findItem("VOID/VOIDRemove") is not None, "no VOIDRemove in the node menu"
    return "Nodes > VOID > VOIDRemove"


def _inputs_are_named(fixture: NukeCheckFixture) -> str:
    found = sorted((int(each["number"].value()), each.name()) for each in nuke.allNodes("Input", group=fixture.node))
    return _assert_equal([name for _, name in found], list(inputs.INPUTS))


def _create_is_one_undo(fixture: NukeCheckFixture) -> str:
    before = len(node.void_nodes())
    node.create()
    nuke.undo()
    return _assert_equal(len(node.void_nodes()), before)


def _plate_is_written_raw(fixture: NukeCheckFixture) -> str:
    read = _read(fixture, fixture.export().shot.plate)
    bits = str(read.metadata("input/bitsperchannel"))
    assert bits.startswith("16-bit half"), bits
    return f"{_assert_equal(_sample(read, LEFT), 2.5)}, {bits}"


def _mattes_are_a_layer(fixture: NukeCheckFixture) -> str:
    read = _read(fixture, fixture.export().shot.mattes["remove"].sequence)
    channel = f"{node.LAYER}.remove"
    assert channel in read.channels(), read.channels()
    return _assert_equal((_sample(read, LEFT, channel), _sample(read, RIGHT, channel)), (1.0, 0.0))


def _nothing_is_left(fixture: NukeCheckFixture) -> str:
    fixture.export()
    return _assert_equal([each.name() for each in nuke.allNodes("Write", group=fixture.node)], [])


def _nothing_is_written_twice(fixture: NukeCheckFixture) -> str:
    fixture.export()
    again = plan_exports(fixture.node, panel.settings_of(fixture.node))[0]
    return f"missing: {_assert_equal(again.scan_missing(), {})}"


def _data_window_is_kept(fixture: NukeCheckFixture) -> str:
    read = _read(fixture, fixture.export().shot.mattes["remove"].sequence)
    window = [int(each) for each in read.metadata("exr/dataWindow")]
    return _assert_equal(window[2] - window[0] + 1 >= WIDTH // 2, True) + f" {window}"


def _proxy_is_turned_off(fixture: NukeCheckFixture) -> str:
    root = nuke.root()
    root["proxy"].setValue(True)
    try:
        fixture.plate["softness"].setValue(0.001)  # something new to write
        read = _read(fixture, fixture.export().shot.plate)
        assert root["proxy"].value(), "proxy mode was not turned on again"
    finally:
        root["proxy"].setValue(False)
    return _assert_equal(read.width(), WIDTH)


def _cancel_is_reported(fixture: NukeCheckFixture) -> str:
    nuke.message("A long export follows: press Cancel in its bar.")
    fixture.plate["softness"].setValue(0.002)
    export = plan_exports(fixture.node, panel.settings_of(fixture.node))[0]
    try:
        write_export(fixture.node, dataclasses.replace(export, frames=FrameRange(range(1, 5001))))
    except Cancelled as exc:
        return str(exc)
    raise AssertionError("the export ran to its end")


def _views_have_files_of_their_own(fixture: NukeCheckFixture) -> str:
    write = nuke.nodes.Write(inputs=[fixture.plate], file_type="exr", create_directories=True)
    write["file"].setValue((fixture.folder / "views" / "%V" / "plate.####.exr").as_posix())
    view = nuke.views()[0]
    nuke.executeMultiple((write,), ([fixture.first, fixture.first, 1],), [view])
    assert list((fixture.folder / "views" / view).iterdir()), "no file in the view's folder"
    return f"views/{view}"


def _buttons_know_their_node(fixture: NukeCheckFixture) -> str:
    button: Any = fixture.node["cancel"]
    button.execute()
    return _assert_equal(fixture.node["status"].value(), "No job is running for this node.")


def _digest_holds(fixture: NukeCheckFixture) -> str:
    sources = [fixture.plate]
    first = digest.digest_of(sources)
    fixture.plate.setXYpos(17, 17)
    assert digest.digest_of(sources) == first, "moving a node changed the digest"
    fixture.plate["softness"].setValue(0.003)
    assert digest.digest_of(sources) != first, "another softness did not"
    return first


def _expressions_are_followed(fixture: NukeCheckFixture) -> str:
    other = nuke.nodes.Grade()
    linked = _rectangle(1.0, WIDTH)
    linked["disable"].setExpression(f"{other.name()}.disable")
    return _assert_equal(other.fullName() in [each.fullName() for each in inputs.upstream([linked])], True)


def _result_lies_over_the_plate(fixture: NukeCheckFixture) -> str:
    fixture.show_result()
    seen = [_sample(fixture.node, pixel, channel) for pixel in (LEFT, RIGHT) for channel in ("red", "alpha")]
    return _assert_equal(seen, [9.0, 2.5, 2.5, 2.5])


def _unready_frames_show_the_plate(fixture: NukeCheckFixture) -> str:
    fixture.show_result()
    was = nuke.frame()
    nuke.frame(fixture.first + 1)
    try:
        return _assert_equal(_sample(fixture.node, LEFT), 2.5)
    finally:
        nuke.frame(was)


def _render_refuses(fixture: NukeCheckFixture) -> str:
    """Check that a render refuses a frame outside the job and a stale result. Takes a licence for a second Nuke."""
    fixture.show_result()
    write = nuke.nodes.Write(inputs=[fixture.node], file_type="exr", create_directories=True)
    write["file"].setValue((fixture.folder / "rendered" / "out.####.exr").as_posix())
    errors = [_render_in_second_nuke(write, frame) for frame in (fixture.first, fixture.first + 2)]
    fixture.node["void_bridge_fresh"].setValue(False)
    errors.append(_render_in_second_nuke(write, fixture.first))
    fixture.node["void_bridge_fresh"].setValue(True)
    assert not errors[0], f"a finished frame was refused: {errors[0]}"
    assert errors[1] and errors[2], f"rendered although it should not be: {errors}"
    return errors[2]


def _render_in_second_nuke(write: Any, frame: int) -> str:
    """Render one frame in a second Nuke and return its error message; empty if it rendered the frame."""
    error: Future[str] = Future()
    SecondNuke([write], [[frame, frame, 1]], "main", False, error.set_result)
    return error.result(timeout=120)


def _background_export_works(fixture: NukeCheckFixture) -> str:
    write = nuke.nodes.Write(inputs=[fixture.plate], file_type="exr", create_directories=True)
    target = fixture.folder / "background"
    write["file"].setValue((target / "plate.####.exr").as_posix())
    error = _render_in_second_nuke(write, fixture.first)
    assert not error and target.exists(), error or "no frame was written"
    return "written with a render licence"


def _copies_show_the_same(fixture: NukeCheckFixture) -> str:
    fixture.show_result()
    for each in nuke.selectedNodes():
        each.setSelected(False)
    fixture.node.setSelected(True)
    path = (fixture.folder / "copied.nk").as_posix()
    nuke.nodeCopy(path)
    nuke.nodePaste(path)
    pasted = nuke.selectedNode()
    assert pasted.name() != fixture.node.name(), "the copy has the same name"
    _assert_equal(result.jobs_of(pasted), result.jobs_of(fixture.node))
    file = node.inside(pasted, "result")["file"].value()
    nuke.delete(pasted)
    return str(file)


def _changes_make_it_stale(fixture: NukeCheckFixture) -> str:
    fixture.show_result()
    record_submitted(fixture.node, fingerprint(fixture.node))
    fixture.node["feather"].setValue(9)
    fixture.node.setInput(2, fixture.matte)
    fresh = bool(fixture.node["void_bridge_fresh"].value())
    fixture.node.setInput(2, None)
    fixture.node["feather"].setValue(4)
    return _assert_equal(fresh, False)


def _own_files_are_sent(fixture: NukeCheckFixture) -> str:
    read = _read(fixture, fixture.export().shot.plate)
    pattern, space = inputs.own_files(read, FrameRange([fixture.first]), "main")
    assert pattern, "a plain Read was not taken as it is"
    return f"{pattern} in {space}"


def _colour_is_found(fixture: NukeCheckFixture) -> str:
    space, config = colour.working_space()
    assert config.startswith("ocio://") or Path(config).is_file(), f"no config at {config}"
    return f"{space} of {config}"


def _packages_load(fixture: NukeCheckFixture) -> str:
    import msgpack
    import zmq

    return f"pyzmq {zmq.__version__} from {zmq.__file__}, msgpack {msgpack.version}, {sys.version.split()[0]}"


def _read_only_takes_text(fixture: NukeCheckFixture) -> str:
    fixture.node[panel.FARM_JOB].setValue("farm job-1")
    found = fixture.node[panel.FARM_JOB].value()
    assert found == "farm job-1", f"got {found!r}"
    return str(found)


def _saved_stays_saved(fixture: NukeCheckFixture) -> str:
    """Check that an export does not mark the script as changed. The script itself is not saved."""
    root = nuke.root()
    had_changes = root.modified()
    fixture.plate["softness"].setValue(0.004)  # something new to write
    root.setModified(False)
    try:
        fixture.export()
        assert not root.modified(), "the script counts as changed after an export"
    finally:
        root.setModified(had_changes)
    return "not modified"


def _dialog_gives_back(fixture: NukeCheckFixture) -> str:
    nuke.message("A farm dialog follows: change nothing and press OK.")
    expected = FarmSettings(shots=EVERY, farm=FARMS[2], pool="gpu", gpu_memory=0.0, comment="two words", comp=True)
    found = ask(expected, Config())
    assert found == expected, f"got {found}, expected {expected}"
    return str(found)


Check = Callable[[NukeCheckFixture], str]
HOST_CHECKS: Tuple[Tuple[str, str, Check], ...] = (
    ("packages", "the plug-in's packages load in Nuke's Python", _packages_load),
    ("menu", "VOIDRemove is in the node menu", _menu_is_there),
    ("panel", "every setting has a knob with its tooltip", _panel_is_whole),
    ("looks", "the panel looks like its picture", _panel_looks_right),
    ("inputs", "the group has the inputs plate, remove, affected and keep, in that order", _inputs_are_named),
    ("undo", "adding a node is one step to undo", _create_is_one_undo),
    ("colour", "the working space and the OCIO config of the script are found", _colour_is_found),
    ("export", "a Write in the group writes the plate in half float, values as they are", _plate_is_written_raw),
    ("layer", "mattes are written as the layer void_bridge", _mattes_are_a_layer),
    ("window", "the data window of what is written is the bounding box", _data_window_is_kept),
    ("clean", "no temporary node is left after an export", _nothing_is_left),
    ("once", "an unchanged plate is not written again", _nothing_is_written_twice),
    ("proxy", "an export is full size in proxy mode, which is switched on again", _proxy_is_turned_off),
    ("cancel", "an export that is cancelled in Nuke's bar is reported as cancelled", _cancel_is_reported),
    ("views", "%V in a path is replaced by the view", _views_have_files_of_their_own),
    ("button", "a button's code has its node as nuke.thisNode()", _buttons_know_their_node),
    ("digest", "moving a node changes no digest, changing a pixel does", _digest_holds),
    ("linked", "nodes that are linked by expression count as inputs", _expressions_are_followed),
    ("own files", "a plain EXR Read is sent as its own files", _own_files_are_sent),
    (
        "keymix",
        "the result is pasted over the plate, and the plate's alpha does not change",
        _result_lies_over_the_plate,
    ),
    ("ready", "a frame that is not ready shows the plate in the interface", _unready_frames_show_the_plate),
    ("refuse", "a render refuses a frame that is not the job's, and a stale result", _render_refuses),
    ("stale", "a changed setting or input makes a result stale", _changes_make_it_stale),
    ("copy", "a pasted copy shows the same result", _copies_show_the_same),
    ("background", "a second Nuke renders the export", _background_export_works),
    ("read-only", "a script can write into a read-only text knob", _read_only_takes_text),
    ("saved", "an export leaves a saved script saved", _saved_stays_saved),
    ("farm", "the farm dialog shows and returns the last choices", _dialog_gives_back),
)
JOB_CHECK = HostCheck("job", "a job runs on a local server, and its status arrives on the main thread", lambda: "")
