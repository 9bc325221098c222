"""The claims about Fusion and Resolve that no test without them can verify, each with its check."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Tuple

from host_plugins.control.selftest import Claim
from host_plugins.control.state import JobState
from host_plugins.farm.settings import EVERY, FARMS, FarmSettings
from host_plugins.resolve import graph, memory, result
from host_plugins.resolve.bench import HEIGHT, VALUE, WIDTH, Bench
from host_plugins.resolve.bench_window import asked_about_window, ticks_counted
from host_plugins.resolve.export import TEMPORARY, saver_path
from host_plugins.resolve.exr_peek import exr_header, exr_row
from host_plugins.resolve.farm import ask
from host_plugins.resolve.plan import Piece
from void_bridge.config import Config
from void_bridge.sequence import Sequence

MARK = "void_bridge.selftest_mark"


def _same(found: object, expected: object) -> str:
    assert found == expected, f"got {found!r}, expected {expected!r}"
    return str(found)


def packages_load(bench: Bench) -> str:
    import msgpack
    import zmq

    return f"pyzmq {zmq.__version__}, msgpack {msgpack.version}, Python {sys.version.split()[0]}"


def masks_are_known(bench: Bench) -> str:
    seen = [graph.output_type(tool) for tool in (bench.plate, bench.mask)]
    assert graph.is_image(bench.plate) and graph.is_mask(bench.mask), seen
    return ", ".join(seen)


def size_is_known(bench: Bench) -> str:
    picture = graph.picture_of(bench.plate, bench.first)
    return _same((picture.width, picture.height), (WIDTH, HEIGHT))


def depth_is_known(bench: Bench) -> str:
    seen = {}
    for code, name in ((3, "float16"), (4, "float32")):
        with graph.changes(bench.comp, "VOID Remove: self-test"):
            bench.plate.SetInput("Depth", code)
        seen[name] = graph.picture_of(bench.plate, bench.first).is_float
    return _same(seen, {"float16": False, "float32": True})


def render_writes(bench: Bench) -> str:
    plan = bench.exported("render")
    return f"{len(plan.written())} files"


def plate_is_half(bench: Bench) -> str:
    plan = bench.exported("half")
    channels = exr_header(plan.pieces[0].sequence.path(bench.first))["channels"]
    assert {"R", "G", "B", "A"} <= set(channels), channels
    wanted = "float" if plan.picture.is_float else "half"
    return _same({channels[name] for name in "RGBA"}, {wanted})


def values_are_as_they_are(bench: Bench) -> str:
    path = bench.exported("values").pieces[0].sequence.path(bench.first)
    return _same(exr_row(path, "R", 0)[0], VALUE)


def mask_is_an_alpha(bench: Bench) -> str:
    plan = bench.exported("mask")
    path = plan.pieces[1].sequence.path(bench.first)
    row = exr_row(path, "A", HEIGHT // 2)
    return _same([round(row[x], 3) for x in (4, WIDTH - 5)], [1.0, 0.0])


def compression_is_zip(bench: Bench) -> str:
    header = exr_header(bench.exported("zip").pieces[0].sequence.path(bench.first))
    return _same(header["compression"], 3)


def overscan_is_kept(bench: Bench) -> str:
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        moved = bench.add("Transform")
        moved.ConnectInput("Input", bench.plate)
        moved.SetInput("Size", 1.5)
        saver = bench.add("Saver")
        saver.ConnectInput("Input", moved)
        (bench.folder / "wide").mkdir(exist_ok=True)
        piece = Piece("wide", moved.Name, Sequence.parse((bench.folder / "wide" / "wide.####.exr").as_posix()))
        for name, value in (("Clip", saver_path(piece)), ("OutputFormat", "OpenEXRFormat"), ("ClippingMode", "None")):
            saver.SetInput(name, value)
    bench.comp.Render({"Start": bench.first, "End": bench.first, "Wait": True, "RenderFlags": 524288})
    window = exr_header(piece.sequence.path(bench.first))["dataWindow"]
    assert window[2] - window[0] + 1 > WIDTH, f"the data window is {window}, the frame {WIDTH} pixels wide"
    return str(window)


def nothing_is_left(bench: Bench) -> str:
    bench.exported("clean")
    return _same([tool.Name for tool in graph.all_tools(bench.comp) if tool.GetData(TEMPORARY)], [])


def savers_rest(bench: Bench) -> str:
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        saver = bench.add("Saver")
        saver.ConnectInput("Input", bench.plate)
        saver.SetInput("Clip", (bench.folder / "artist.0000.exr").as_posix())
    bench.exported("others")
    assert not list(bench.folder.glob("artist*")), "the artist's own Saver wrote"
    return _same(bool(saver.GetAttrs()["TOOLB_PassThrough"]), False)


def gaps_are_rendered(bench: Bench) -> str:
    wanted = [bench.first, bench.first + 2]
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        saver = bench.add("Saver")
        saver.ConnectInput("Input", bench.plate)
        (bench.folder / "gaps").mkdir(exist_ok=True)
        saver.SetInput("Clip", (bench.folder / "gaps" / "gaps.0000.exr").as_posix())
        saver.SetInput("OutputFormat", "OpenEXRFormat")
    text = ",".join(f"{frame}..{frame}" for frame in wanted)
    bench.comp.Render({"FrameRange": text, "Wait": True, "RenderFlags": 524288})
    held = Sequence.parse((bench.folder / "gaps" / "gaps.####.exr").as_posix()).frames_on_disk()
    return _same(list(held), wanted)


def loader_reads_back(bench: Bench) -> str:
    state = _made_result(bench, "back")
    loader = result.place(bench.comp, memory.own_shot(bench.comp, bench.plate), state)
    found = [int(loader.GetInput(name)) for name in ("GlobalIn", "GlobalOut", "ClipTimeStart")]
    _forget(bench, loader)
    return _same(found, [bench.first, bench.last, 0])


def trim_is_kept(bench: Bench) -> str:
    token = memory.own_shot(bench.comp, bench.plate)
    loader = result.place(bench.comp, token, _made_result(bench, "one"))
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        for name, value in (("ClipTimeStart", 1), ("HoldLastFrame", 2)):
            loader.SetInput(name, value)
    names = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd", "HoldFirstFrame", "HoldLastFrame", "Depth")
    before = {name: loader.GetInput(name) for name in names}
    again = result.place(bench.comp, token, _made_result(bench, "two"))
    after = {name: again.GetInput(name) for name in names}
    _forget(bench, loader)
    return _same(after, before)


def data_is_kept(bench: Bench) -> str:
    bench.plate.SetData("void_bridge.selftest", '{"a": "b \\" c"}')
    bench.comp.SetData("void_bridge.selftest", "comp")
    seen = (bench.plate.GetData("void_bridge.selftest"), bench.comp.GetData("void_bridge.selftest"))
    bench.comp.SetData("void_bridge.selftest", None)
    _same(bench.comp.GetData("void_bridge.selftest"), None)
    return _same(seen, ('{"a": "b \\" c"}', "comp"))


def data_is_saved(bench: Bench) -> str:
    """True of the second run alone."""
    before = bench.comp.GetData(MARK)
    bench.comp.SetData(MARK, "was here")
    assert before, "not yet: save the composition, close it, open it again, and run the self-test once more"
    return "the mark of an earlier run is there"


def places_are_free(bench: Bench) -> str:
    place = graph.free_place(bench.comp, bench.plate)
    assert place is not None, "the composition has no flow on the screen; run this on the Fusion page"
    return str(place)


def undo_is_one_step(bench: Bench) -> str:
    before = len(graph.all_tools(bench.comp))
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        for _ in range(2):
            graph.new_tool(bench.comp, "Background", (0.0, 60.0))
    bench.comp.Undo(1)
    return _same(len(graph.all_tools(bench.comp)), before)


def windows_are_there(bench: Bench) -> str:
    assert bench.host.ui is not None, "no UI manager: artists get the AskUser dialog"
    return "a UI manager"


def dialog_answers(bench: Bench) -> str:
    controls: Dict[int, Dict[Any, Any]] = {
        1: {1: "said", 2: "Text", "Name": "Self-test", "Default": "Press OK.", "ReadOnly": True, "Lines": 1},
        2: {1: "menu", 2: "Dropdown", "Name": "menu", "Options": {1: "first", 2: "second"}, "Default": 1},
        3: {1: "number", 2: "Screw", "Name": "number", "Default": 4, "Integer": True, "Min": 0, "Max": 9},
        4: {1: "flag", 2: "Checkbox", "Name": "flag", "Default": 1},
    }
    answer = bench.comp.AskUser("VOID Remove Self-test", controls)
    assert answer is not None, "the dialog was cancelled"
    return _same(
        {name: float(answer[name]) for name in ("menu", "number", "flag")}, {"menu": 1, "number": 4, "flag": 1}
    )


def changes_are_known(bench: Bench) -> str:
    """What was there before is given back at the end."""
    attrs = bench.comp.GetAttrs()
    assert memory.MODIFIED in attrs, f"no {memory.MODIFIED} among {', '.join(sorted(attrs))}"
    seen = []
    for value in (False, True, attrs[memory.MODIFIED]):
        bench.comp.SetAttrs({memory.MODIFIED: value})
        seen.append(bool(bench.comp.GetAttrs()[memory.MODIFIED]))
    return str(_same(seen, [False, True, bool(attrs[memory.MODIFIED])]))


def farm_dialog_gives_back(bench: Bench) -> str:
    shown = FarmSettings(shots=EVERY, farm=FARMS[2], pool="gpu", gpu_memory=0.5, chunk=20_000, comment="two words")
    found = ask(bench.comp, shown, Config())
    assert found is not None, "the dialog was cancelled; leave it as it is and press OK"
    return str(_same(found, shown))


def window_looks_right(bench: Bench) -> str:
    return asked_about_window(bench.host)


def timer_ticks(bench: Bench) -> str:
    return ticks_counted(bench.host)


def _made_result(bench: Bench, name: str) -> JobState:
    """The exported plate as if a job had made it."""
    pattern = bench.exported(name).pieces[0].sequence.pattern
    return JobState(f"selftest-{name}", "done", "", pattern, f"{bench.first}-{bench.last}")


def _forget(bench: Bench, loader: Any) -> None:
    with graph.changes(bench.comp, "VOID Remove: self-test"):
        loader.Delete()


Check = Callable[[Bench], str]
CLAIMS: Tuple[Tuple[str, str, Check], ...] = (
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
JOB_CLAIM = Claim(
    "job", "a job goes to a local server, and its frames and its paste matte come into Loaders", lambda: ""
)
