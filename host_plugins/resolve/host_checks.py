"""The claims about Fusion and Resolve that no test without them can verify, each with its check."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Tuple

from host_plugins.control.host_checks import HostCheck
from host_plugins.control.state import JobState
from host_plugins.farm.settings import EVERY, FARMS, FarmSettings
from host_plugins.resolve import comp_data, graph, result
from host_plugins.resolve.check_fixture import HEIGHT, VALUE, WIDTH, FusionCheckFixture
from host_plugins.resolve.export import TEMPORARY, saver_path
from host_plugins.resolve.exr_peek import exr_header, exr_row
from host_plugins.resolve.farm import ask
from host_plugins.resolve.plan import SaverOutput
from host_plugins.resolve.window_checks import check_window, count_timer_ticks
from void_bridge.config import Config
from void_bridge.sequence import Sequence

MARK = "void_bridge.selftest_mark"


def _same(found: object, expected: object) -> str:
    assert found == expected, f"got {found!r}, expected {expected!r}"
    return str(found)


def packages_load(fixture: FusionCheckFixture) -> str:
    import msgpack
    import zmq

    return f"pyzmq {zmq.__version__}, msgpack {msgpack.version}, Python {sys.version.split()[0]}"


def masks_are_known(fixture: FusionCheckFixture) -> str:
    seen = [graph.output_type(tool) for tool in (fixture.plate, fixture.mask)]
    assert graph.is_image(fixture.plate) and graph.is_mask(fixture.mask), seen
    return ", ".join(seen)


def size_is_known(fixture: FusionCheckFixture) -> str:
    picture = graph.image_format(fixture.plate, fixture.first)
    return _same((picture.width, picture.height), (WIDTH, HEIGHT))


def depth_is_known(fixture: FusionCheckFixture) -> str:
    seen = {}
    for code, name in ((3, "float16"), (4, "float32")):
        with graph.changes(fixture.comp, "VOID Remove: self-test"):
            fixture.plate.SetInput("Depth", code)
        seen[name] = graph.image_format(fixture.plate, fixture.first).is_float
    return _same(seen, {"float16": False, "float32": True})


def render_writes(fixture: FusionCheckFixture) -> str:
    plan = fixture.exported("render")
    return f"{len(plan.written())} files"


def plate_is_half(fixture: FusionCheckFixture) -> str:
    plan = fixture.exported("half")
    channels = exr_header(plan.pieces[0].sequence.path(fixture.first))["channels"]
    assert {"R", "G", "B", "A"} <= set(channels), channels
    wanted = "float" if plan.picture.is_float else "half"
    return _same({channels[name] for name in "RGBA"}, {wanted})


def values_are_as_they_are(fixture: FusionCheckFixture) -> str:
    path = fixture.exported("values").pieces[0].sequence.path(fixture.first)
    return _same(exr_row(path, "R", 0)[0], VALUE)


def mask_is_an_alpha(fixture: FusionCheckFixture) -> str:
    plan = fixture.exported("mask")
    path = plan.pieces[1].sequence.path(fixture.first)
    row = exr_row(path, "A", HEIGHT // 2)
    return _same([round(row[x], 3) for x in (4, WIDTH - 5)], [1.0, 0.0])


def compression_is_zip(fixture: FusionCheckFixture) -> str:
    header = exr_header(fixture.exported("zip").pieces[0].sequence.path(fixture.first))
    return _same(header["compression"], 3)


def overscan_is_kept(fixture: FusionCheckFixture) -> str:
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        moved = fixture.add("Transform")
        moved.ConnectInput("Input", fixture.plate)
        moved.SetInput("Size", 1.5)
        saver = fixture.add("Saver")
        saver.ConnectInput("Input", moved)
        (fixture.folder / "wide").mkdir(exist_ok=True)
        piece = SaverOutput("wide", moved.Name, Sequence.parse((fixture.folder / "wide" / "wide.####.exr").as_posix()))
        for name, value in (("Clip", saver_path(piece)), ("OutputFormat", "OpenEXRFormat"), ("ClippingMode", "None")):
            saver.SetInput(name, value)
    fixture.comp.Render({"Start": fixture.first, "End": fixture.first, "Wait": True, "RenderFlags": 524288})
    window = exr_header(piece.sequence.path(fixture.first))["dataWindow"]
    assert window[2] - window[0] + 1 > WIDTH, f"the data window is {window}, the frame {WIDTH} pixels wide"
    return str(window)


def nothing_is_left(fixture: FusionCheckFixture) -> str:
    fixture.exported("clean")
    return _same([tool.Name for tool in graph.all_tools(fixture.comp) if tool.GetData(TEMPORARY)], [])


def savers_rest(fixture: FusionCheckFixture) -> str:
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        saver = fixture.add("Saver")
        saver.ConnectInput("Input", fixture.plate)
        saver.SetInput("Clip", (fixture.folder / "artist.0000.exr").as_posix())
    fixture.exported("others")
    assert not list(fixture.folder.glob("artist*")), "the artist's own Saver wrote"
    return _same(bool(saver.GetAttrs()["TOOLB_PassThrough"]), False)


def gaps_are_rendered(fixture: FusionCheckFixture) -> str:
    wanted = [fixture.first, fixture.first + 2]
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        saver = fixture.add("Saver")
        saver.ConnectInput("Input", fixture.plate)
        (fixture.folder / "gaps").mkdir(exist_ok=True)
        saver.SetInput("Clip", (fixture.folder / "gaps" / "gaps.0000.exr").as_posix())
        saver.SetInput("OutputFormat", "OpenEXRFormat")
    text = ",".join(f"{frame}..{frame}" for frame in wanted)
    fixture.comp.Render({"FrameRange": text, "Wait": True, "RenderFlags": 524288})
    held = Sequence.parse((fixture.folder / "gaps" / "gaps.####.exr").as_posix()).frames_on_disk()
    return _same(list(held), wanted)


def loader_reads_back(fixture: FusionCheckFixture) -> str:
    state = _made_result(fixture, "back")
    loader = result.place(fixture.comp, comp_data.ensure_shot_token(fixture.comp, fixture.plate), state)
    found = [int(loader.GetInput(name)) for name in ("GlobalIn", "GlobalOut", "ClipTimeStart")]
    _forget(fixture, loader)
    return _same(found, [fixture.first, fixture.last, 0])


def trim_is_kept(fixture: FusionCheckFixture) -> str:
    token = comp_data.ensure_shot_token(fixture.comp, fixture.plate)
    loader = result.place(fixture.comp, token, _made_result(fixture, "one"))
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        for name, value in (("ClipTimeStart", 1), ("HoldLastFrame", 2)):
            loader.SetInput(name, value)
    names = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd", "HoldFirstFrame", "HoldLastFrame", "Depth")
    before = {name: loader.GetInput(name) for name in names}
    again = result.place(fixture.comp, token, _made_result(fixture, "two"))
    after = {name: again.GetInput(name) for name in names}
    _forget(fixture, loader)
    return _same(after, before)


def data_is_kept(fixture: FusionCheckFixture) -> str:
    fixture.plate.SetData("void_bridge.selftest", '{"a": "b \\" c"}')
    fixture.comp.SetData("void_bridge.selftest", "comp")
    seen = (fixture.plate.GetData("void_bridge.selftest"), fixture.comp.GetData("void_bridge.selftest"))
    fixture.comp.SetData("void_bridge.selftest", None)
    _same(fixture.comp.GetData("void_bridge.selftest"), None)
    return _same(seen, ('{"a": "b \\" c"}', "comp"))


def data_is_saved(fixture: FusionCheckFixture) -> str:
    """True of the second run alone."""
    before = fixture.comp.GetData(MARK)
    fixture.comp.SetData(MARK, "was here")
    assert before, "not yet: save the composition, close it, open it again, and run the self-test once more"
    return "the mark of an earlier run is there"


def places_are_free(fixture: FusionCheckFixture) -> str:
    place = graph.free_position(fixture.comp, fixture.plate)
    assert place is not None, "the composition has no flow on the screen; run this on the Fusion page"
    return str(place)


def undo_is_one_step(fixture: FusionCheckFixture) -> str:
    before = len(graph.all_tools(fixture.comp))
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        for _ in range(2):
            graph.new_tool(fixture.comp, "Background", (0.0, 60.0))
    fixture.comp.Undo(1)
    return _same(len(graph.all_tools(fixture.comp)), before)


def windows_are_there(fixture: FusionCheckFixture) -> str:
    assert fixture.host.ui is not None, "no UI manager: artists get the AskUser dialog"
    return "a UI manager"


def dialog_answers(fixture: FusionCheckFixture) -> str:
    controls: Dict[int, Dict[Any, Any]] = {
        1: {1: "said", 2: "Text", "Name": "Self-test", "Default": "Press OK.", "ReadOnly": True, "Lines": 1},
        2: {1: "menu", 2: "Dropdown", "Name": "menu", "Options": {1: "first", 2: "second"}, "Default": 1},
        3: {1: "number", 2: "Screw", "Name": "number", "Default": 4, "Integer": True, "Min": 0, "Max": 9},
        4: {1: "flag", 2: "Checkbox", "Name": "flag", "Default": 1},
    }
    answer = fixture.comp.AskUser("VOID Remove Self-test", controls)
    assert answer is not None, "the dialog was cancelled"
    return _same(
        {name: float(answer[name]) for name in ("menu", "number", "flag")}, {"menu": 1, "number": 4, "flag": 1}
    )


def changes_are_known(fixture: FusionCheckFixture) -> str:
    """What was there before is given back at the end."""
    attrs = fixture.comp.GetAttrs()
    assert comp_data.MODIFIED in attrs, f"no {comp_data.MODIFIED} among {', '.join(sorted(attrs))}"
    seen = []
    for value in (False, True, attrs[comp_data.MODIFIED]):
        fixture.comp.SetAttrs({comp_data.MODIFIED: value})
        seen.append(bool(fixture.comp.GetAttrs()[comp_data.MODIFIED]))
    return str(_same(seen, [False, True, bool(attrs[comp_data.MODIFIED])]))


def farm_dialog_gives_back(fixture: FusionCheckFixture) -> str:
    shown = FarmSettings(shots=EVERY, farm=FARMS[2], pool="gpu", gpu_memory=0.5, chunk=20_000, comment="two words")
    found = ask(fixture.comp, shown, Config())
    assert found is not None, "the dialog was cancelled; leave it as it is and press OK"
    return str(_same(found, shown))


def window_looks_right(fixture: FusionCheckFixture) -> str:
    return check_window(fixture.host)


def timer_ticks(fixture: FusionCheckFixture) -> str:
    return count_timer_ticks(fixture.host)


def _made_result(fixture: FusionCheckFixture, name: str) -> JobState:
    """The exported plate as if a job had made it."""
    pattern = fixture.exported(name).pieces[0].sequence.pattern
    return JobState(f"selftest-{name}", "done", "", pattern, f"{fixture.first}-{fixture.last}")


def _forget(fixture: FusionCheckFixture, loader: Any) -> None:
    with graph.changes(fixture.comp, "VOID Remove: self-test"):
        loader.Delete()


Check = Callable[[FusionCheckFixture], str]
HOST_CHECKS: Tuple[Tuple[str, str, Check], ...] = (
    ("packages", "the script's packages load in the Python that this host runs", packages_load),
    ("kinds", "a mask tool is told from a picture by the type of its output", masks_are_known),
    ("size", "the size of a picture is known without proxy scaling", size_is_known),
    ("depth", "float32 is told from float16 by the depth of a picture", depth_is_known),
    ("render", "comp.Render writes the files of temporary Savers, and waits for them", render_writes),
    ("half", "a Saver writes R, G, B and A, as half for half and as float for float", plate_is_half),
    ("values", "a Saver writes values above 1 as they are, without a colour conversion", values_are_as_they_are),
    ("mask", "a mask cuts a white Background out, and its alpha is the matte", mask_is_an_alpha),
    ("zip", "OpenEXRFormat.Compression 3 is ZIP", compression_is_zip),
    ("overscan", "a Saver with Clipping Mode None writes what lies outside the frame", overscan_is_kept),
    ("gaps", "comp.Render takes frames with gaps as FrameRange", gaps_are_rendered),
    ("clean", "no temporary tool is left after an export", nothing_is_left),
    ("rest", "the artist's own Savers write nothing meanwhile and are on again afterwards", savers_rest),
    ("loader", "a new Loader stands at the frames that its files are numbered with", loader_reads_back),
    ("trim", "a Loader keeps its trim and holds when it gets another version", trim_is_kept),
    ("data", "text that a script keeps in a tool and in the composition comes back as it was", data_is_kept),
    ("saved", "what a composition keeps is there when it was saved, closed and opened again", data_is_saved),
    ("place", "a free place beside a tool is found in the flow", places_are_free),
    ("undo", "what one button does is one step to undo", undo_is_one_step),
    ("dialog", "AskUser answers with numbers, and a dropdown counts from 0", dialog_answers),
    ("farm", "the farm's dialog shows what was chosen last and gives it back", farm_dialog_gives_back),
    ("modified", "a composition says whether it has unsaved changes, and can be told", changes_are_known),
    ("windows", "this edition has a UI manager", windows_are_there),
    ("timer", "a timer of the UI manager reaches the script as disp.On.Timeout", timer_ticks),
    ("looks", "the window looks like its picture, and closing it ends the script", window_looks_right),
)
JOB_CHECK = HostCheck(
    "job", "a job goes to a local server, and its frames and its paste matte come into Loaders", lambda: ""
)
