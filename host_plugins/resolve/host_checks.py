"""Statements about Fusion and Resolve that only they can verify, each with its check (docs/artists/resolve.md)."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Tuple

from host_plugins.control.settings import Settings, setting_specs
from host_plugins.control.state import JobState
from host_plugins.farm.settings import EVERY, FARMS, FarmSettings
from host_plugins.resolve import comp_data, graph, result
from host_plugins.resolve.check_fixture import (
    HEIGHT,
    UNDO_TITLE,
    VALUE,
    WIDTH,
    FusionCheckFixture,
    exr_header,
    exr_row,
)
from host_plugins.resolve.export import QUIET, TEMPORARY
from host_plugins.resolve.farm import ask_farm_settings
from host_plugins.resolve.session import TITLE
from host_plugins.resolve.window import SIZE, Panel, elements
from void_bridge.config import Config
from void_bridge.sequence import Sequence

MARK = "void_bridge.selftest_mark"
CHECK_WINDOW, TIMER_WINDOW = "VoidSelfTest", "VoidSelfTestTimer"
TICKS = 5


def _assert_equal(found: object, expected: object) -> str:
    assert found == expected, f"got {found!r}, expected {expected!r}"
    return str(found)


def _packages_load(fixture: FusionCheckFixture) -> str:
    import msgpack
    import zmq

    return f"pyzmq {zmq.__version__}, msgpack {msgpack.version}, Python {sys.version.split()[0]}"


def _masks_are_known(fixture: FusionCheckFixture) -> str:
    types = [graph.output_type(tool) for tool in (fixture.plate, fixture.mask)]
    assert graph.is_image(fixture.plate) and graph.is_mask(fixture.mask), types
    return ", ".join(types)


def _size_is_known(fixture: FusionCheckFixture) -> str:
    plate = graph.image_format(fixture.plate, fixture.first)
    return _assert_equal((plate.width, plate.height), (WIDTH, HEIGHT))


def _depth_is_known(fixture: FusionCheckFixture) -> str:
    found = {}
    for code, name in ((3, "float16"), (4, "float32")):
        with graph.undo_step(fixture.comp, UNDO_TITLE):
            fixture.plate.SetInput("Depth", code)
        found[name] = graph.image_format(fixture.plate, fixture.first).needs_float
    return _assert_equal(found, {"float16": False, "float32": True})


def _render_writes_files(fixture: FusionCheckFixture) -> str:
    return f"{len(fixture.export('render').written())} files"


def _plate_is_half(fixture: FusionCheckFixture) -> str:
    plan = fixture.export("half")
    channels = exr_header(plan.outputs[0].sequence.path(fixture.first))["channels"]
    assert {"R", "G", "B", "A"} <= set(channels), channels
    expected = "float" if plan.plate_format.needs_float else "half"
    return _assert_equal({channels[name] for name in "RGBA"}, {expected})


def _values_are_unchanged(fixture: FusionCheckFixture) -> str:
    path = fixture.export("values").outputs[0].sequence.path(fixture.first)
    return _assert_equal(exr_row(path, "R", 0)[0], VALUE)


def _mask_is_alpha(fixture: FusionCheckFixture) -> str:
    path = fixture.export("mask").outputs[1].sequence.path(fixture.first)
    row = exr_row(path, "A", HEIGHT // 2)
    return _assert_equal([round(row[x], 3) for x in (4, WIDTH - 5)], [1.0, 0.0])


def _compression_is_zip(fixture: FusionCheckFixture) -> str:
    header = exr_header(fixture.export("zip").outputs[0].sequence.path(fixture.first))
    return _assert_equal(header["compression"], 3)


def _overscan_is_kept(fixture: FusionCheckFixture) -> str:
    files = Sequence.parse((fixture.folder / "wide" / "wide.####.exr").as_posix())
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        larger = fixture.add("Transform")
        larger.ConnectInput("Input", fixture.plate)
        larger.SetInput("Size", 1.5)
        fixture.add_saver(larger, files.path(0), ClippingMode="None")
    fixture.comp.Render({"Start": fixture.first, "End": fixture.first, "Wait": True, "RenderFlags": QUIET})
    x0, _, x1, _ = window = exr_header(files.path(fixture.first))["dataWindow"]
    assert x1 - x0 + 1 > WIDTH, f"the data window is {window}, the frame {WIDTH} pixels wide"
    return str(window)


def _no_temporary_tools_are_left(fixture: FusionCheckFixture) -> str:
    fixture.export("clean")
    left = [tool.Name for tool in graph.all_tools(fixture.comp) if tool.GetData(TEMPORARY)]
    return _assert_equal(left, [])


def _other_savers_write_nothing(fixture: FusionCheckFixture) -> str:
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        saver = fixture.add_saver(fixture.plate, fixture.folder / "artist.0000.exr")
    fixture.export("others")
    assert not list(fixture.folder.glob("artist*")), "the artist's own Saver wrote"
    return _assert_equal(bool(saver.GetAttrs()["TOOLB_PassThrough"]), False)


def _frames_with_gaps_are_rendered(fixture: FusionCheckFixture) -> str:
    frames = [fixture.first, fixture.first + 2]
    files = Sequence.parse((fixture.folder / "gaps" / "gaps.####.exr").as_posix())
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        fixture.add_saver(fixture.plate, files.path(0))
    ranges = ",".join(f"{frame}..{frame}" for frame in frames)
    fixture.comp.Render({"FrameRange": ranges, "Wait": True, "RenderFlags": QUIET})
    return _assert_equal(list(files.frames_on_disk()), frames)


def _loader_starts_at_first_frame(fixture: FusionCheckFixture) -> str:
    state = _finished_job(fixture, "back")
    loader = result.place_loader(fixture.comp, comp_data.ensure_shot_token(fixture.comp, fixture.plate), state)
    found = [int(loader.GetInput(name)) for name in ("GlobalIn", "GlobalOut", "ClipTimeStart")]
    _delete(fixture, loader)
    return _assert_equal(found, [fixture.first, fixture.last, 0])


def _trim_is_kept(fixture: FusionCheckFixture) -> str:
    token = comp_data.ensure_shot_token(fixture.comp, fixture.plate)
    loader = result.place_loader(fixture.comp, token, _finished_job(fixture, "one"))
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        for name, value in (("ClipTimeStart", 1), ("HoldLastFrame", 2)):
            loader.SetInput(name, value)
    names = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd", "HoldFirstFrame", "HoldLastFrame", "Depth")
    before = {name: loader.GetInput(name) for name in names}
    result.place_loader(fixture.comp, token, _finished_job(fixture, "two"))
    after = {name: loader.GetInput(name) for name in names}
    _delete(fixture, loader)
    return _assert_equal(after, before)


def _data_is_kept(fixture: FusionCheckFixture) -> str:
    name, text = "void_bridge.selftest", '{"a": "b \\" c"}'
    fixture.plate.SetData(name, text)
    fixture.comp.SetData(name, "comp")
    found = (fixture.plate.GetData(name), fixture.comp.GetData(name))
    fixture.comp.SetData(name, None)
    _assert_equal(fixture.comp.GetData(name), None)
    return _assert_equal(found, (text, "comp"))


def _data_is_saved(fixture: FusionCheckFixture) -> str:
    """Find the mark of an earlier run. The first run leaves it and fails."""
    before = fixture.comp.GetData(MARK)
    fixture.comp.SetData(MARK, "was here")
    assert before, "not yet: save the composition, close it, open it again, and run the self-test once more"
    return "the mark of an earlier run is there"


def _free_position_is_found(fixture: FusionCheckFixture) -> str:
    position = graph.free_position(fixture.comp, fixture.plate)
    assert position is not None, "the composition has no flow on the screen; run this on the Fusion page"
    return str(position)


def _undo_is_one_step(fixture: FusionCheckFixture) -> str:
    before = len(graph.all_tools(fixture.comp))
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        for _ in range(2):
            graph.new_tool(fixture.comp, "Background", (0.0, 60.0))
    fixture.comp.Undo(1)
    return _assert_equal(len(graph.all_tools(fixture.comp)), before)


def _ui_manager_exists(fixture: FusionCheckFixture) -> str:
    assert fixture.host.ui is not None, "no UI manager: artists get the AskUser dialog"
    return "a UI manager"


def _dialog_answers(fixture: FusionCheckFixture) -> str:
    controls: Dict[int, Dict[Any, Any]] = {
        1: {1: "message", 2: "Text", "Name": "Self-test", "Default": "Press OK.", "ReadOnly": True, "Lines": 1},
        2: {1: "menu", 2: "Dropdown", "Name": "menu", "Options": {1: "a", 2: "b", 3: "c"}, "Default": 1},
        3: {1: "number", 2: "Screw", "Name": "number", "Default": 4, "Integer": True, "Min": 0, "Max": 9},
        4: {1: "flag", 2: "Checkbox", "Name": "flag", "Default": 1},
    }
    answer = fixture.comp.AskUser("VOID Remove Self-test", controls)
    assert answer is not None, "the dialog was cancelled"
    found = {name: float(answer[name]) for name in ("menu", "number", "flag")}
    return _assert_equal(found, {"menu": 1, "number": 4, "flag": 1})


def _modified_can_be_set(fixture: FusionCheckFixture) -> str:
    """Set the attribute to both values and then to the one that it had."""
    attrs = fixture.comp.GetAttrs()
    assert comp_data.MODIFIED in attrs, f"no {comp_data.MODIFIED} among {', '.join(sorted(attrs))}"
    before = bool(attrs[comp_data.MODIFIED])
    found = []
    for value in (False, True, before):
        fixture.comp.SetAttrs({comp_data.MODIFIED: value})
        found.append(bool(fixture.comp.GetAttrs()[comp_data.MODIFIED]))
    return _assert_equal(found, [False, True, before])


def _farm_dialog_returns_its_values(fixture: FusionCheckFixture) -> str:
    shown = FarmSettings(shots=EVERY, farm=FARMS[2], pool="gpu", gpu_memory=0.5, chunk=20_000, comment="two words")
    found = ask_farm_settings(fixture.comp, shown, Config())
    assert found is not None, "the dialog was cancelled; change nothing and press OK"
    return _assert_equal(found, shown)


def _timer_ticks(fixture: FusionCheckFixture) -> str:
    ui, bmd = fixture.host.ui, fixture.host.bmd
    assert ui is not None and bmd is not None, "no UI manager"
    dispatcher = bmd.UIDispatcher(ui)
    text = "This closes by itself. If it is still here after ten seconds, press Stop."
    row = [ui.Label({"ID": "status", "Text": text, "WordWrap": True}), ui.Button({"ID": "stop", "Text": "Stop"})]
    options = {"ID": TIMER_WINDOW, "WindowTitle": f"{TITLE} Self-test", "Geometry": [300, 300, 360, 120]}
    window = dispatcher.AddWindow(options, [ui.VGroup({"Spacing": 6}, row)])
    timer = ui.Timer({"ID": "void_selftest", "Interval": 100})
    assert timer is not None, "ui.Timer returned none"
    senders: List[str] = []

    def tick(event: Any) -> None:
        senders.append(str(event.get("who", "")) if isinstance(event, dict) else type(event).__name__)
        if len(senders) >= TICKS:
            dispatcher.ExitLoop()

    dispatcher.On.Timeout = tick
    window.On.stop.Clicked = lambda event: dispatcher.ExitLoop()
    getattr(window.On, TIMER_WINDOW).Close = lambda event: dispatcher.ExitLoop()
    window.Show()
    timer.Start()
    dispatcher.RunLoop()
    timer.Stop()
    window.Hide()
    assert len(senders) >= TICKS, f"{len(senders)} ticks came"
    return f"{len(senders)} ticks from {senders[0] or 'an unnamed timer'}"


def _window_looks_right(fixture: FusionCheckFixture) -> str:
    """Show the window until the close button of its title bar is pressed, then ask whether it looked right."""
    ui, bmd = fixture.host.ui, fixture.host.bmd
    assert ui is not None and bmd is not None, "no UI manager"
    title = f"{TITLE} Self-test"
    dispatcher = bmd.UIDispatcher(ui)
    window = dispatcher.AddWindow({"ID": CHECK_WINDOW, "WindowTitle": title, "Geometry": SIZE}, elements(ui))
    panel = Panel(window.GetItems())
    panel.set_settings(Settings())
    panel.items["status"].Text = "Look, turn to the other page, then close me with the title bar's own button."
    closed_by: List[str] = []

    def close(button: str) -> None:
        closed_by.append(button)
        dispatcher.ExitLoop()

    getattr(window.On, CHECK_WINDOW).Close = lambda event: close("title bar")
    window.On.close.Clicked = lambda event: close("the button Close")
    window.On.pages.CurrentChanged = lambda event: panel.turn_page()
    window.Show()
    dispatcher.RunLoop()
    window.Hide()
    assert panel.settings() == Settings(), "the widgets do not give back what they were set to"
    question = "Did it look like the picture in docs/artists/resolve.md, and did its pages turn?"
    controls: Dict[int, Dict[Any, Any]] = {
        1: {1: "question", 2: "Text", "Name": "Self-test", "Default": question, "ReadOnly": True, "Lines": 2},
        2: {1: "answer", 2: "Dropdown", "Name": "answer", "Options": {1: "no", 2: "yes"}, "Default": 1},
    }
    answer = fixture.comp.AskUser(title, controls)
    assert answer is not None and int(answer["answer"]) == 1, "the answer was no"
    assert closed_by == ["title bar"], f"closed by {closed_by}; the title bar's button did not end the script"
    return f"{len(setting_specs())} settings, seen by a person"


def _finished_job(fixture: FusionCheckFixture, name: str) -> JobState:
    """Return the state of a finished job whose frames are the exported plate."""
    pattern = fixture.export(name).outputs[0].sequence.pattern
    return JobState(f"selftest-{name}", "done", "", pattern, f"{fixture.first}-{fixture.last}")


def _delete(fixture: FusionCheckFixture, tool: Any) -> None:
    with graph.undo_step(fixture.comp, UNDO_TITLE):
        tool.Delete()


Check = Callable[[FusionCheckFixture], str]
HOST_CHECKS: Tuple[Tuple[str, str, Check], ...] = (
    ("packages", "the script's packages load in the Python that this host runs", _packages_load),
    ("kinds", "a mask tool differs from an image by the type of its output", _masks_are_known),
    ("size", "the size of a picture is known without proxy scaling", _size_is_known),
    ("depth", "the depth of an image tells float32 from float16", _depth_is_known),
    ("render", "comp.Render writes the files of temporary Savers, and waits for them", _render_writes_files),
    ("half", "a Saver writes R, G, B and A, as half for half and as float for float", _plate_is_half),
    ("values", "a Saver writes values above 1 as they are, without a colour conversion", _values_are_unchanged),
    ("mask", "the alpha of a white Background behind a mask is the matte", _mask_is_alpha),
    ("zip", "OpenEXRFormat.Compression 3 is ZIP", _compression_is_zip),
    ("overscan", "a Saver with Clipping Mode None writes pixels outside the frame", _overscan_is_kept),
    ("gaps", "comp.Render takes frames with gaps as FrameRange", _frames_with_gaps_are_rendered),
    ("clean", "no temporary tool is left after an export", _no_temporary_tools_are_left),
    (
        "rest",
        "the artist's own Savers write nothing during an export and are switched on again",
        _other_savers_write_nothing,
    ),
    ("loader", "a new Loader starts at the frame number of its first file", _loader_starts_at_first_frame),
    ("trim", "a Loader keeps its trim and holds when it gets another version", _trim_is_kept),
    ("data", "text that a script stores in a tool or the composition is read back unchanged", _data_is_kept),
    ("saved", "data of a composition survives saving, closing and opening it", _data_is_saved),
    ("place", "a free place beside a tool is found in the flow", _free_position_is_found),
    ("undo", "the changes of one button are one step to undo", _undo_is_one_step),
    ("dialog", "AskUser answers with numbers, and a dropdown counts from 0", _dialog_answers),
    ("farm", "the farm dialog shows and returns the last choices", _farm_dialog_returns_its_values),
    ("modified", "a composition reports unsaved changes, and a script can set that mark", _modified_can_be_set),
    ("windows", "this edition has a UI manager", _ui_manager_exists),
    ("timer", "a timer of the UI manager calls disp.On.Timeout", _timer_ticks),
    ("looks", "the window looks like its picture, and closing it ends the script", _window_looks_right),
)
