"""The fake of Nuke keeps the rules that a plug-in may break, so that a mistake fails a test of the plug-in."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import OpenEXR
import pytest

from tests.hosts.fake_nuke import Box, FakeNuke
from tests.hosts.fake_nuke.curves import parse_curve
from tests.hosts.fake_nuke.expressions import ExpressionError
from tests.hosts.fake_nuke.terminal import write_executable
from void_bridge.pixels.box import Box as Rows
from void_bridge.pixels.exr import read_frame, write_simple

RED, GREEN, ALPHA = "rgba.red", "rgba.green", "rgba.alpha"


@pytest.fixture
def fake():
    with FakeNuke() as session:
        session.nuke.root()["format"].setValue("8 6 1 tiny")
        session.nuke.Layer("void_bridge", ["void_bridge.remove", "void_bridge.paste"])
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


@pytest.fixture
def node(nuke):
    return nuke.nodes.NoOp(name="node")


@pytest.fixture
def write(nuke, tmp_path):
    return nuke.nodes.Write(inputs=[constant(nuke, 1.0)], file=f"{tmp_path.as_posix()}/out.%04d.exr", raw=True)


def constant(nuke, red, green=0.0, blue=0.0, alpha=1.0):
    return nuke.nodes.Constant(color=[red, green, blue, alpha], channels="rgba")


def box_matte(fake):
    """Return a Roto with a box of 3 x 3 pixels; `in_box` is its plane."""
    roto = fake.nuke.nodes.Roto()
    fake.draw(roto, lambda frame: (2, 1, 5, 4))
    return roto


def in_box():
    plane = np.zeros((6, 8), np.float32)
    plane[2:5, 2:5] = 1
    return plane


def picture(path):
    return read_frame(path).picture


def on_thread(call):
    """Run `call` on another thread and raise its exception here."""
    errors = []

    def work():
        try:
            call()
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


class TestMainThread:
    @pytest.mark.parametrize(
        "call",
        [
            lambda nuke, node: nuke.allNodes(),
            lambda nuke, node: nuke.nodes.NoOp(),
            lambda nuke, node: node["label"].value(),
            lambda nuke, node: nuke.Int_Knob("x").setValue(1),
            lambda nuke, node: nuke.addOnCreate(print),
            lambda nuke, node: nuke.Undo.disable(),
            lambda nuke, node: nuke.message("hello"),
        ],
    )
    def test_the_api_is_refused_on_other_threads(self, nuke, node, call):
        with pytest.raises(AssertionError, match="main thread"):
            on_thread(lambda: call(nuke, node))

    def test_calls_of_other_threads_run_when_the_main_thread_is_free(self, fake, nuke, node):
        set_label = node["label"].setValue
        on_thread(lambda: nuke.executeInMainThread(set_label, "done"))
        on_thread(lambda: nuke.executeInMainThread(lambda: 1 / 0))
        assert node["label"].value() == ""
        with pytest.raises(ZeroDivisionError):
            fake.pump(until=lambda: False, timeout=1)
        assert node["label"].value() == "done" and len(fake.main_thread_log) == 2

    def test_posting_from_the_main_thread_would_hang(self, nuke):
        with pytest.raises(AssertionError, match="would hang"):
            nuke.executeInMainThread(print)

    def test_a_terminal_has_no_event_loop_no_menus_and_no_answers(self):
        with FakeNuke(gui=False) as fake:
            assert not fake.nuke.GUI and not fake.nuke.env["gui"]
            with pytest.raises(AssertionError, match="no event loop"):
                on_thread(lambda: fake.nuke.executeInMainThread(print))
            with pytest.raises(RuntimeError, match="no menus"):
                fake.nuke.menu("Nodes")
            with pytest.raises(AssertionError, match="there is no artist"):
                fake.nuke.ask("Sure?")

    def test_import_nuke_gives_the_session_until_it_ends(self):
        before = sys.modules.get("nuke")
        with FakeNuke(version=14) as fake:
            import nuke

            assert nuke is fake.nuke and nuke.NUKE_VERSION_MAJOR == 14
        assert sys.modules.get("nuke") is before


class TestCallbacks:
    @pytest.mark.parametrize(("version", "expected"), [(14, []), (16, []), (17, ["label"])])
    def test_from_17_on_knob_changed_runs_for_scripts_too(self, version, expected):
        with FakeNuke(version=version) as fake:
            seen, node = [], fake.nuke.nodes.NoOp()
            fake.nuke.addKnobChanged(lambda: seen.append(fake.nuke.thisKnob().name()), node=node)
            node["label"].setValue("x")
            node["label"].setValue("x")
            assert seen == expected
            fake.user_sets(node["label"], "y")
            assert seen == [*expected, "label"]

    @pytest.mark.parametrize(("version", "expected"), [(16, ["label"]), (17, ["label", "help"])])
    def test_before_17_a_callback_does_not_hear_itself(self, version, expected):
        with FakeNuke(version=version) as fake:
            nuke, seen = fake.nuke, []
            node = nuke.nodes.NoOp()

            def changed():
                seen.append(nuke.thisKnob().name())
                node["help"].setValue("changed")

            nuke.addKnobChanged(changed, node=node)
            fake.user_sets(node["label"], "x")
            assert seen == expected

    def test_the_nodes_own_text_and_its_events_run_as_knob_changed(self, nuke, node):
        text = "if nuke.thisKnob().name() != 'help': nuke.thisNode()['help'].setValue(nuke.thisKnob().name())"
        node["knobChanged"].setValue(text)
        node.setInput(0, nuke.nodes.Constant())
        assert node["help"].value() == "inputChange"
        node.showControlPanel()
        assert node["help"].value() == "showPanel"

    def test_on_create_runs_once_for_its_class_with_the_node(self, fake, nuke):
        seen = []

        def created():
            seen.append(nuke.thisNode().name())

        nuke.addOnCreate(created, nodeClass="Group")
        nuke.addOnCreate(created, nodeClass="Group")
        nuke.nodes.NoOp()
        fake.copy_paste(nuke.nodes.Group())
        assert seen == ["Group1", "Group2"]

    def test_an_error_in_a_callback_reaches_the_test(self, nuke):
        nuke.addOnCreate(lambda: 1 / 0, nodeClass="NoOp")
        with pytest.raises(ZeroDivisionError):
            nuke.nodes.NoOp()

    def test_a_button_runs_with_its_node_in_the_group_of_the_node(self, fake, nuke):
        group = nuke.nodes.Group()
        with group:
            node = nuke.nodes.NoOp()
        node.addKnob(nuke.PyScript_Knob("go", "Go", "nuke.nodes.Dot(name=nuke.thisNode().name() + '_made')"))
        fake.user_presses(node["go"])
        assert group.node("NoOp1_made") is not None and nuke.toNode("NoOp1_made") is None

    def test_render_callbacks_see_their_write_and_frame(self, nuke, write):
        seen = []
        for occasion in ("BeforeRender", "BeforeFrameRender", "AfterFrameRender", "AfterRender"):
            getattr(nuke, f"add{occasion}")(
                lambda o=occasion: seen.append((o, nuke.thisNode().name(), nuke.frame())), nodeClass="Write"
            )
        nuke.execute(write, 5, 5)
        assert [(name, frame) for name, _, frame in seen] == [
            *(("BeforeRender", 1), ("BeforeFrameRender", 5), ("AfterFrameRender", 5), ("AfterRender", 1))
        ]
        assert {owner for _, owner, _ in seen} == {"Write1"} and nuke.frame() == 1


class TestDialogs:
    def test_a_question_without_an_answer_fails_the_test(self, fake, nuke):
        fake.answers.extend([True, None])
        assert nuke.ask("Sure?") is True and nuke.getInput("Number?") is None
        with pytest.raises(AssertionError, match="Again"):
            nuke.ask("Again?")
        assert fake.messages == ["Sure?", "Number?", "Again?"]

    def test_a_menu_command_runs(self, fake, nuke):
        nuke.menu("Nodes").addMenu("VOID").addCommand("Say", "nuke.message('said')")
        nuke.menu("Nodes").findItem("VOID/Say").invoke()
        assert fake.messages == ["said"] and nuke.menu("Nodes").findItem("VOID/Other") is None

    def test_a_progress_bar_is_cancelled_when_the_test_says(self, fake, nuke):
        task = nuke.ProgressTask("Export")
        fake.cancel_progress(lambda task: task.percents[-1] >= 20)
        task.setProgress(10)
        assert not task.isCancelled()
        task.setProgress(20)
        assert task.isCancelled() and fake.progress == [task]


class TestNodes:
    @pytest.mark.parametrize(
        ("mistake", "error"),
        [
            (lambda nuke, node: nuke.thisNod(), AttributeError),
            (lambda nuke, node: nuke.nodes.KeyMix(), RuntimeError),
            (lambda nuke, node: nuke.nodes.Keymix(maskChanel="alpha"), NameError),
            (lambda nuke, node: node["lable"], NameError),
            (lambda nuke, node: nuke.nodes.Write(datatype="32 bit float"), NameError),  # a knob of EXR files only
            (lambda nuke, node: node.setName("two words"), ValueError),
            (lambda nuke, node: node.setInput(1, nuke.nodes.Constant()), ValueError),
            (lambda nuke, node: node.setInput(0, nuke.nodes.NoOp(inputs=[node])), ValueError),
            (lambda nuke, node: node.addKnob(nuke.Int_Knob("two words")), ValueError),
            (lambda nuke, node: node.addKnob(nuke.Int_Knob("label")), ValueError),
            (lambda nuke, node: nuke.delete(nuke.root()), ValueError),
            (lambda nuke, node: nuke.execute(node, 1, 1), RuntimeError),
            (lambda nuke, node: nuke.Layer("mask", ["mask.b"]), ValueError),
            (lambda nuke, node: nuke.nodes.Keymix()["bbox"].setValue("C"), ValueError),
            (lambda nuke, node: nuke.nodes.Keymix()["maskChannel"].setValue("mine.paste"), ValueError),
            (lambda nuke, node: nuke.nodes.Read()["rescan_range"].execute(), AssertionError),
            (lambda nuke, node: node["label"].setExpression("1"), TypeError),
            (lambda nuke, node: nuke.message(7), TypeError),
            (lambda nuke, node: nuke.Int_Knob("k").setValue("1"), TypeError),
            (lambda nuke, node: nuke.Int_Knob("k").setValue(1.5), TypeError),
            (lambda nuke, node: nuke.Double_Knob("k").setValue("1"), TypeError),
            (lambda nuke, node: nuke.Boolean_Knob("k").setValue("true"), TypeError),
            (lambda nuke, node: nuke.String_Knob("k").setValue(1), TypeError),
            (lambda nuke, node: nuke.File_Knob("k").setValue(None), TypeError),
            (lambda nuke, node: nuke.Enumeration_Knob("k", "k", ["a"]).setValue(None), TypeError),
        ],
    )
    def test_a_mistake_is_an_error(self, nuke, node, mistake, error):
        with pytest.raises(error):
            mistake(nuke, node)

    def test_a_node_of_another_group_is_no_input(self, nuke, node):
        with nuke.nodes.Group():
            inner = nuke.nodes.NoOp()
        with pytest.raises(ValueError, match="another group"):
            node.setInput(0, inner)

    def test_nodes_are_created_in_the_open_group_under_free_names(self, nuke, node):
        group = nuke.nodes.Group(name="group")
        with group:
            inner = nuke.nodes.NoOp(name="node")
            assert nuke.allNodes() == [inner] and nuke.nodes.NoOp(name="node").name() == "node1"
        assert inner.fullName() == "group.node" and nuke.toNode("group.node") is inner is not node
        assert inner in nuke.allNodes(recurseGroups=True) and inner not in nuke.allNodes()
        assert isinstance(group, nuke.Group) and not isinstance(node, nuke.Group)

    def test_inputs_of_a_group_are_its_input_nodes_by_number(self, nuke, fake):
        group = nuke.nodes.Group()
        with group:
            nuke.nodes.Input(name="second", number=1)
            first = nuke.nodes.Input(name="first", number=0)
            nuke.nodes.Output(inputs=[first])
        group.setInput(0, constant(nuke, 0.25))
        group.setInput(1, constant(nuke, 0.75))
        assert group.maxInputs() == 2 and fake.render(group).plane(RED).min() == 0.25

    def test_a_deleted_node_refuses_everything_and_is_disconnected(self, nuke, node):
        knob, after = node["label"], nuke.nodes.NoOp(inputs=[node])
        nuke.delete(node)
        for use in (node.name, lambda: node["label"], knob.value, lambda: knob.setValue("x")):
            with pytest.raises(ValueError, match="not attached to a node"):
                use()
        assert after.input(0) is None and nuke.toNode("node") is None

    def test_exr_knobs_are_there_for_exr_only(self, nuke):
        write = nuke.nodes.Write(file="a.%04d.exr")
        assert write["datatype"].value() == "16 bit half"
        write["file_type"].setValue("png")
        assert write.knob("datatype") is None

    def test_dependencies_include_expressions(self, nuke, node):
        other = nuke.nodes.NoOp(inputs=[nuke.nodes.Constant(name="source")])
        other["hide_input"].setExpression("node.hide_input")
        assert other.dependencies(nuke.EXPRESSIONS) == [node]
        assert other.dependencies(nuke.INPUTS) == [nuke.toNode("source")]

    def test_create_node_connects_and_selects(self, nuke, node):
        node.setSelected(True)
        made = nuke.createNode("Dot")
        assert made.input(0) is node and nuke.selectedNodes() == [made]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("(1 + 2) * 3", 9),
            ("1 && 0 || !0", 1),
            ("0 ? 1 : 2 ? 3 : 4", 3),
            ("frame > 3 ? 10 : 20", 10),
            ("$gui", 1),
            ("parent.amount", 8),
            ("root.first_frame", 1),
            ("other.show * 10 + other.fresh", 21),
            ("other.curve(1)", 1),
            ("[value amount] + 1", 5),
        ],
    )
    def test_an_expression_evaluates_to_its_value(self, fake, nuke, text, expected):
        group = nuke.nodes.Group()
        with group:
            node, other = nuke.nodes.NoOp(name="here"), nuke.nodes.NoOp(name="other")
        for owner, value in ((node, 4), (group, 8)):
            owner.addKnob(nuke.Double_Knob("amount"))
            owner["amount"].setValue(value)
        other.addKnob(nuke.Double_Knob("curve"))
        other["curve"].fromScript("{curve K x1 1 x2 2}")
        other.addKnob(nuke.Enumeration_Knob("show", "show", ["a", "b", "c"]))
        other["show"].setValue("c")
        other.addKnob(nuke.Boolean_Knob("fresh", "", True))
        node.addKnob(nuke.Double_Knob("result"))
        node["result"].setExpression(text)
        fake.frame = 5
        assert node["result"].value() == expected

    @pytest.mark.parametrize("text", ["nothing", "parent.nothing", "1 +", "(1", "random()", "[python 1]", "a = 1"])
    def test_an_expression_that_is_not_known_is_refused(self, node, nuke, text):
        node.addKnob(nuke.Double_Knob("result"))
        node["result"].setExpression(text)
        with pytest.raises(ExpressionError):
            node["result"].value()

    def test_curves_hold_their_steps_and_smooth_keys_are_not_guessed(self, nuke, node):
        node.addKnob(nuke.Double_Knob("k"))
        node["k"].fromScript("{curve K x1001 1 x1011 0}")
        assert [node["k"].getValueAt(frame) for frame in (990, 1010, 1011, 1020)] == [1, 1, 0, 0]
        assert node["k"].isAnimated() and node["k"].toScript() == "{curve K x1001 1 x1011 0}"
        with pytest.raises(RuntimeError, match="smooth"):
            parse_curve("curve x1 0 x11 1").value(5)
        with pytest.raises(ValueError, match="K, L, S"):
            parse_curve("curve C x1 0")

    def test_file_knobs_expand_commands_frames_and_views(self, fake, nuke, node, tmp_path):
        nuke.scriptSaveAs((tmp_path / "shot.nk").as_posix())
        node.addKnob(nuke.File_Knob("out"))
        node["out"].setValue("[file dirname [value root.name]]/%V/a.####.exr")
        assert node["out"].evaluate(1001) == f"{tmp_path.as_posix()}/main/a.1001.exr"
        assert node["out"].value() == "[file dirname [value root.name]]/%V/a.%04d.exr"
        read = nuke.nodes.Read()
        assert read["file"].evaluate() is None and nuke.filename(read) is None


class TestPixels:
    def test_keymix_is_exact_where_the_other_side_is_not_finite(self, fake, nuke):
        below, above = constant(nuke, 0.25), constant(nuke, float("inf"), alpha=0.0)
        keymix = nuke.nodes.Keymix(inputs=[below, above, box_matte(fake)], channels="rgb")
        image = fake.render(keymix)
        assert np.array_equal(image.plane(RED), np.where(in_box(), np.inf, 0.25).astype(np.float32))
        assert image.plane(ALPHA).min() == 1.0  # not among its channels

    def test_copy_and_expression_nodes_compute_their_channels(self, fake, nuke):
        source = nuke.nodes.Copy(inputs=[constant(nuke, 0.5), box_matte(fake)], to0="void_bridge.paste")
        solid = nuke.nodes.Expression(inputs=[source], channel0="alpha", expr0="void_bridge.paste > 0 ? r * 2 : 0")
        assert np.array_equal(fake.render(solid).plane(ALPHA), in_box())
        assert fake.render(solid).plane(RED).min() == 0.5

    def test_switch_and_assert_compute_only_what_they_show(self, fake, nuke):
        guard = nuke.nodes.Assert(inputs=[constant(nuke, 0.5)], message="no frame [frame]")
        guard["expression"].setExpression("frame < 10")
        switch = nuke.nodes.Switch(inputs=[constant(nuke, 0.25), guard])
        assert fake.render(switch, 10).plane(RED).min() == 0.25
        switch["which"].setValue(1)
        assert fake.render(switch, 9).plane(RED).min() == 0.5
        with pytest.raises(RuntimeError, match="no frame 10"):
            fake.render(switch, 10)

    def test_a_setting_that_is_not_computed_is_refused(self, fake, nuke):
        with pytest.raises(RuntimeError, match="the fake"):
            fake.render(nuke.nodes.Grade(gamma=2.0))
        with pytest.raises(RuntimeError, match="cannot compute a Merge2"):
            fake.render(nuke.nodes.Merge2())

    def test_a_retime_asks_for_other_frames(self, fake, nuke):
        roto = nuke.nodes.Roto()
        fake.draw(roto, {5: (2, 1, 5, 4)})
        offset = nuke.nodes.TimeOffset(inputs=[roto], time_offset=10)
        assert fake.render(offset, 15).plane(ALPHA).any() and not fake.render(offset, 5).plane(ALPHA).any()

    def test_a_read_sees_a_new_file_only_after_a_reload(self, fake, nuke, tmp_path):
        read = nuke.nodes.Read(file=(tmp_path / "plate.%04d.exr").as_posix(), first=1001, last=1003)
        with pytest.raises(RuntimeError, match=r"plate\.1002\.exr: No such file"):
            fake.render(read, 1002)
        write_simple(tmp_path / "plate.1002.exr", {"R": np.full((6, 8), 9, np.float16)})
        with pytest.raises(RuntimeError):
            fake.render(read, 1002)
        read["reload"].execute()
        assert fake.render(read, 1002).plane(RED).min() == 9

    def test_a_read_keeps_windows_channels_and_metadata(self, fake, nuke, tmp_path):
        plane = np.arange(20, dtype=np.float32).reshape(4, 5)
        header = {"timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14), "pixelAspectRatio": 2.0}
        planes = {"R": plane, "void_bridge.paste": plane, "spec.R": plane}
        write_simple(tmp_path / "a.exr", planes, Rows(0, 0, 6, 8), Rows(-1, -2, 3, 3), header)
        read = nuke.nodes.Read(file=str(tmp_path / "a.exr"))
        image = fake.render(read)
        # The rows -1 to 2 of a picture of 6 rows; one black pixel around, for the windows differ.
        assert image.box == Box(-2, 3, 3, 7).grown(1) and np.array_equal(image.plane(RED, (-2, 3, 3, 7)), plane)
        assert read.channels() == sorted([RED, "void_bridge.paste", "spec.red"])
        assert read.format().pixelAspect() == 2.0 and read.metadata("input/timecode") == "01:02:03:04"
        assert read.metadata("exr/displayWindow") == [0, 0, 7, 5]


class TestWrite:
    def test_a_file_comes_through_read_and_write(self, nuke, write, tmp_path):
        rng = np.random.default_rng(5)
        planes = {name: rng.normal(size=(9, 7)).astype(np.float16) for name in "RGBA"}
        write_simple(tmp_path / "in.exr", planes, Rows(0, 0, 6, 8), Rows(-1, -2, 8, 5), {"camera": "A"})
        write.setInput(0, nuke.nodes.Read(file=str(tmp_path / "in.exr"), raw=True))
        write["channels"].setValue("rgba")
        nuke.execute(write, 1, 1)
        found = picture(tmp_path / "out.0001.exr")
        assert (found.data_window, found.display_window) == (Rows(-1, -2, 8, 5), Rows(0, 0, 6, 8))
        assert all(found.channels[name].tobytes() == plane.tobytes() for name, plane in planes.items())
        assert "camera" not in found.header and found.header["nuke/node_hash"]

    def test_a_layer_is_written_under_its_name(self, fake, nuke, write, tmp_path):
        write.setInput(0, nuke.nodes.Copy(inputs=[constant(nuke, 1.0), box_matte(fake)], to0="void_bridge.remove"))
        write["channels"].setValue("void_bridge")
        nuke.execute(write, 1, 1)
        found = picture(tmp_path / "out.0001.exr")
        assert list(found.channels) == ["void_bridge.remove"]
        assert np.array_equal(found.channels["void_bridge.remove"], in_box())

    def test_several_writes_are_executed_frame_by_frame(self, fake, nuke, write, tmp_path):
        other = nuke.nodes.Write(inputs=[write.input(0)], file=f"{tmp_path.as_posix()}/other.%04d.exr")
        nuke.executeMultiple([write, other], [[1, 3, 2]])
        assert [(each.node, each.frame) for each in fake.written] == [
            *(("Write1", 1), ("Write2", 1), ("Write1", 3), ("Write2", 3))
        ]

    def test_a_cancel_and_a_failure_keep_the_frames_before(self, fake, nuke, write):
        fake.cancel_execute_at(2)
        with pytest.raises(RuntimeError, match="Cancelled"):
            nuke.execute(write, 1, 5)
        fake.fail_execute_at(3, "no licence")
        with pytest.raises(RuntimeError, match="no licence"):
            nuke.execute(write, 2, 5)
        assert [each.frame for each in fake.written] == [1, 2]

    def test_folders_are_made_on_request_only(self, nuke, write, tmp_path):
        write["file"].setValue(f"{tmp_path.as_posix()}/new/out.%04d.exr")
        with pytest.raises(RuntimeError, match="No such file"):
            nuke.execute(write, 1, 1)
        write["create_directories"].setValue(True)
        nuke.execute(write, 1, 1)
        assert (tmp_path / "new" / "out.0001.exr").is_file()

    def test_proxy_mode_makes_small_files(self, nuke, write, tmp_path):
        nuke.root()["proxy"].setValue(True)
        nuke.execute(write, 1, 1)
        assert picture(tmp_path / "out.0001.exr").display_window == Rows(0, 0, 3, 4)

    @pytest.mark.parametrize(
        ("raw", "space", "expected"), [(True, "sRGB", 1.0), (False, "default", 1.0), (False, "sRGB", 0.5)]
    )
    def test_another_colour_space_than_the_working_space_shows(self, nuke, write, tmp_path, raw, space, expected):
        write["raw"].setValue(raw)
        write["colorspace"].setValue(space)
        write["channels"].setValue("rgba")
        nuke.execute(write, 1, 1)
        found = picture(tmp_path / "out.0001.exr")
        assert found.channels["R"].max() == expected and found.channels["A"].max() == 1.0

    def test_each_view_has_a_file_or_a_part_of_one(self, fake, nuke, write, tmp_path):
        nuke.addView("right")
        write.setInput(0, nuke.nodes.JoinViews(inputs=[constant(nuke, 0.25), constant(nuke, 0.75)]))
        nuke.execute(write, 1, 1)
        write["file"].setValue(f"{tmp_path.as_posix()}/%V.%04d.exr")
        nuke.execute(write, 1, 1)
        assert list(picture(tmp_path / "out.0001.exr").header["multiView"]) == ["main", "right"]
        for name in ("out", "%V"):
            read = nuke.nodes.Read(file=f"{tmp_path.as_posix()}/{name}.%04d.exr")
            assert [fake.render(read, 1, view).plane(RED).max() for view in nuke.views()] == [0.25, 0.75]


def make_comp(fake):
    """Create a group with user knobs of many kinds, expressions and animation, between a Roto and a Viewer."""
    nuke = fake.nuke
    roto = nuke.nodes.Roto(name="roto")
    fake.draw(roto, {1001: (2, 1, 5, 4)})
    group = nuke.nodes.Group(name="VOIDRemove1", label='two\nlines "quoted" [value name] \\')
    with group:
        plate, remove = nuke.nodes.Input(name="plate"), nuke.nodes.Input(name="remove")
        copy = nuke.nodes.Copy(name="copy", inputs=[plate, remove], to0="void_bridge.remove")
        nuke.nodes.Switch(name="pick", inputs=[copy])["which"].setExpression("parent.show")
        nuke.nodes.Output(inputs=[group.node("pick")])
    for knob in (
        nuke.Tab_Knob("tab", "VOID"),
        nuke.Enumeration_Knob("show", "show", ["original", "result"]),
        nuke.Int_Knob("handles", "", 8),
        nuke.Double_Knob("ready"),
        nuke.Boolean_Knob("fresh", "", True),
        nuke.String_Knob("state"),
        nuke.String_Knob("secret"),
        nuke.Multiline_Eval_String_Knob("prompt"),
        nuke.Channel_Knob("matte"),
        nuke.PyScript_Knob("go", "Go", "nuke.message('gone')"),
    ):
        group.addKnob(knob)
    group["state"].setValue('{"id": "a b", "n": [1]}')
    group["state"].setFlag(nuke.INVISIBLE)
    group["secret"].setFlag(nuke.DO_NOT_WRITE)
    group["secret"].setValue("x")
    group["prompt"].setValue("an empty\nsofa")
    group["matte"].setValue("void_bridge.remove")
    group["ready"].fromScript("{curve K x1001 1 x1005 0}")
    group["handles"].setTooltip("Frames read beyond both ends.")
    group.setInput(1, roto)
    nuke.nodes.Viewer(name="viewer", inputs=[group])
    return group


class TestScripts:
    def test_a_script_comes_back(self, fake, nuke, tmp_path):
        make_comp(fake)
        nuke.addView("right")
        for name in ("a.nk", "b.nk"):
            fake.save(tmp_path / name)
            fake.open(tmp_path / name)
        assert (tmp_path / "a.nk").read_text() == (tmp_path / "b.nk").read_text()
        group = nuke.toNode("VOIDRemove1")
        assert group["label"].value() == 'two\nlines "quoted" [value name] \\'
        assert group.input(1) is nuke.toNode("roto") and nuke.toNode("viewer").input(0) is group
        assert group.node("pick")["which"].toScript() == "{parent.show}"
        assert (group["handles"].value(), group["handles"].tooltip()) == (8, "Frames read beyond both ends.")
        assert (group["fresh"].value(), group["state"].value()) == (True, '{"id": "a b", "n": [1]}')
        assert not group["state"].visible() and group["secret"].value() == ""
        assert group["prompt"].value() == "an empty\nsofa" and group["matte"].value() == "void_bridge.remove"
        assert [group["ready"].getValueAt(frame) for frame in (1001, 1004, 1005)] == [1, 1, 0]
        group["go"].execute()
        assert fake.messages == ["gone"] and nuke.views() == ["main", "right"]
        assert fake.render(group, 1001).plane("void_bridge.remove").sum() == 9

    def test_a_saved_script_counts_as_changed_after_a_change(self, nuke, tmp_path):
        with pytest.raises(RuntimeError, match="never saved"):
            nuke.scriptSave()
        nuke.nodes.NoOp()
        assert nuke.root().modified()
        path = (tmp_path / "a.nk").as_posix()
        nuke.scriptSaveAs(path)
        assert nuke.root().name() == path and not nuke.root().modified()
        nuke.scriptSave((tmp_path / "b.nk").as_posix())
        assert nuke.root().name() == path, "a copy of the script leaves its name"
        with pytest.raises(RuntimeError, match="exists"):
            nuke.scriptSaveAs(path)

    def test_callbacks_of_scripts_run_in_order(self, nuke, tmp_path):
        seen = []
        nuke.addOnScriptSave(lambda: seen.append("save"))
        nuke.addOnScriptLoad(lambda: seen.append(f"load {nuke.root().name()[-4:]}"))
        nuke.addOnCreate(lambda: seen.append(f"create {nuke.thisNode().name()}"))
        node, root = nuke.nodes.NoOp(name="a"), nuke.root()
        nuke.scriptSaveAs((tmp_path / "a.nk").as_posix())
        nuke.scriptOpen((tmp_path / "a.nk").as_posix())
        assert seen == ["create a", "save", "create a", "load a.nk"]
        for use in (node.name, root.name):
            with pytest.raises(ValueError, match="not attached"):
                use()

    def test_a_copy_has_everything_but_the_name_and_outer_connections(self, fake, nuke):
        group = make_comp(fake)
        (copy,) = fake.copy_paste(group)
        assert copy.name() == "VOIDRemove2" and copy.input(1) is None
        assert copy["state"].value() == group["state"].value() and len(copy.nodes()) == len(group.nodes())
        first = nuke.nodes.Constant()
        copies = fake.copy_paste([first, nuke.nodes.Grade(inputs=[first])])
        assert copies[1].input(0) is copies[0] and copies[0] is not first

    def test_a_named_step_is_undone_whole(self, fake, nuke, node):
        node.addKnob(nuke.String_Knob("state"))
        node["state"].setFlag(nuke.NO_UNDO)
        with nuke.Undo():
            nuke.Undo.name("make")
            for text in ("a", "b"):
                node["label"].setValue(text)
            node["state"].setValue("done")
            group = nuke.nodes.Group(name="g")
            node.setInput(0, nuke.nodes.Constant(name="c"))
        assert fake.undo.steps[-1].name == "make"
        nuke.undo()
        assert nuke.toNode("g") is None and nuke.toNode("c") is None
        assert (node["label"].value(), node["state"].value(), node.input(0)) == ("", "done", None)
        with pytest.raises(ValueError):
            group.name()

    def test_a_deleted_node_comes_back_connected(self, nuke):
        first = nuke.nodes.Constant()
        second = nuke.nodes.NoOp(inputs=[first])
        with nuke.Undo():
            nuke.delete(first)
        nuke.undo()
        assert second.input(0) is first and first.name() == "Constant1"

    def test_nothing_is_recorded_while_undo_is_off(self, fake, nuke, node):
        before = len(fake.undo.steps)
        nuke.Undo.disable()
        node["label"].setValue("x")
        nuke.Undo.enable()
        assert len(fake.undo.steps) == before
        node["label"].setValue("y")
        nuke.undo()
        assert node["label"].value() == "x"

    def test_a_second_nuke_renders_the_script(self, fake, nuke, tmp_path):
        make_comp(fake)
        write = nuke.nodes.Write(name="write", inputs=[nuke.toNode("VOIDRemove1")], channels="void_bridge")
        write["file"].setValue((tmp_path / "out.%04d.exr").as_posix())
        fake.save(tmp_path / "a.nk")
        script = tmp_path / "render.py"
        script.write_text(
            "import sys, nuke\n"
            "assert not nuke.GUI and nuke.NUKE_VERSION_MAJOR == 16\n"
            "nuke.scriptOpen(sys.argv[1])\n"
            "nuke.execute('write', int(sys.argv[2]), int(sys.argv[2]))\n"
        )
        command = [write_executable(tmp_path, 16), "-i", "-t", str(script), str(tmp_path / "a.nk"), "1001"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        read = nuke.nodes.Read(file=(tmp_path / "out.1001.exr").as_posix())
        assert fake.render(read).plane("void_bridge.remove").sum() == 9
