"""The fake of Nuke: scripts saved, opened, copied, closed; undo; a second Nuke in a terminal."""

from __future__ import annotations

import subprocess

import pytest

from tests.hosts.fake_nuke import FakeNuke
from tests.hosts.fake_nuke.terminal import write_executable


@pytest.fixture
def fake():
    with FakeNuke() as session:
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


def make_comp(fake):
    """A group with user knobs of many kinds, expressions, animation and a link, between a Roto and a Viewer."""
    nuke = fake.nuke
    nuke.Layer("void_bridge", ["void_bridge.remove", "void_bridge.paste"])
    nuke.root()["format"].setValue("8 6 2 wide")
    nuke.root()["first_frame"].setValue(1001)
    roto = nuke.nodes.Roto(name="roto")
    fake.draw(roto, {1001: (2, 1, 5, 4)})
    group = nuke.nodes.Group(name="VOIDRemove1", label='two\nlines "quoted" [value name] \\')
    with group:
        first = nuke.nodes.Input(name="plate")
        second = nuke.nodes.Input(name="remove")
        copy = nuke.nodes.Copy(name="copy", inputs=[first, second], to0="void_bridge.remove")
        nuke.nodes.Switch(name="pick", inputs=[copy])["which"].setExpression("parent.show")
        nuke.nodes.Output(inputs=[group.node("pick")])
    knobs = [
        nuke.Tab_Knob("tab", "VOID"),
        nuke.Enumeration_Knob("show", "show", ["original", "result"]),
        nuke.Int_Knob("handles", "", 8),
        nuke.Double_Knob("ready"),
        nuke.XY_Knob("place"),
        nuke.Boolean_Knob("fresh", "", True),
        nuke.String_Knob("state"),
        nuke.Multiline_Eval_String_Knob("prompt"),
        nuke.File_Knob("folder"),
        nuke.Channel_Knob("matte"),
        nuke.PyScript_Knob("go", "Go", "nuke.message('gone')"),
        nuke.Text_Knob("line", "", "No job yet."),
        nuke.Link_Knob("link"),
    ]
    for knob in knobs:
        group.addKnob(knob)
    group["state"].setValue('{"id": "a b", "n": [1]}')
    group["state"].setFlag(nuke.INVISIBLE)
    group["prompt"].setValue("an empty\nsofa")
    group["folder"].setValue("[file dirname [value root.name]]/void")
    group["matte"].setValue("void_bridge.remove")
    group["ready"].fromScript("{curve K x1001 1 x1005 0}")
    group["place"].setExpression("handles * 2", 1)
    group["handles"].setTooltip("Frames read beyond both ends.")
    group["handles"].setRange(0, 100)
    group["link"].makeLink("copy", "mix")
    group.setInput(1, roto)
    nuke.nodes.Viewer(name="viewer", inputs=[group])
    return group


def check_comp(fake, group):
    nuke = fake.nuke
    assert group.name() == "VOIDRemove1" and group["label"].value() == 'two\nlines "quoted" [value name] \\'
    assert [node.name() for node in group.nodes()] == ["plate", "remove", "copy", "pick", "Output1"]
    assert group.input(0) is None and group.input(1) is nuke.toNode("roto")
    assert group.node("copy").input(1) is group.node("remove")
    assert group.node("pick")["which"].toScript() == "{parent.show}"
    assert nuke.toNode("viewer").input(0) is group
    assert list(group["show"].values()) == ["original", "result"]
    assert (group["handles"].value(), group["handles"].tooltip(), group["handles"].max()) == (
        *(8, "Frames read beyond both ends."),
        100,
    )
    assert (group["fresh"].value(), group["state"].value()) == (True, '{"id": "a b", "n": [1]}')
    assert not group["state"].visible() and group["prompt"].value() == "an empty\nsofa"
    assert group["folder"].value() == "[file dirname [value root.name]]/void"
    assert group["matte"].value() == "void_bridge.remove"
    assert [group["ready"].getValueAt(frame) for frame in (1001, 1004, 1005)] == [1, 1, 0]
    assert group["place"].value() == [0, 16] and group["line"].value() == "No job yet."
    assert group["link"].getLinkedKnob() is group.node("copy")["mix"]
    group["go"].execute()
    assert fake.messages[-1] == "gone"
    assert nuke.root()["first_frame"].value() == 1001 and "void_bridge" in nuke.layers()
    assert fake.render(group, 1001).plane("void_bridge.remove").sum() == 9


class TestSaving:
    def test_a_script_comes_back(self, fake, tmp_path):
        group = make_comp(fake)
        fake.save(tmp_path / "a.nk")
        fake.open(tmp_path / "a.nk")
        again = fake.nuke.toNode("VOIDRemove1")
        assert again is not group
        check_comp(fake, again)

    def test_in_another_session(self, fake, tmp_path):
        make_comp(fake)
        fake.save(tmp_path / "a.nk")
        fake.uninstall()
        with FakeNuke() as other:
            other.drawings.clear()
            other.open(tmp_path / "a.nk")
            check_comp(other, other.nuke.toNode("VOIDRemove1"))
        fake.install()

    def test_saving_twice_gives_the_same_text(self, fake, tmp_path):
        make_comp(fake)
        fake.save(tmp_path / "a.nk")
        fake.open(tmp_path / "a.nk")
        fake.save(tmp_path / "b.nk")
        assert (tmp_path / "a.nk").read_text() == (tmp_path / "b.nk").read_text()

    def test_names_and_modified(self, fake, nuke, tmp_path):
        assert nuke.root().name() == "Root" and not nuke.modified()
        with pytest.raises(RuntimeError, match="never saved"):
            nuke.scriptSave()
        nuke.nodes.NoOp()
        assert nuke.modified() and nuke.root().modified()
        path = (tmp_path / "a.nk").as_posix()
        nuke.scriptSaveAs(path)
        assert nuke.root().name() == nuke.scriptName() == path and not nuke.modified()
        assert nuke.script_directory() == tmp_path.as_posix()

    def test_saving_elsewhere_keeps_the_name(self, fake, nuke, tmp_path):
        fake.save(tmp_path / "a.nk")
        nuke.nodes.NoOp()
        nuke.scriptSave((tmp_path / "b.nk").as_posix())
        temporary = nuke.scriptSaveToTemp((tmp_path / "c.nk").as_posix())
        assert (tmp_path / "b.nk").read_text() == (tmp_path / "c.nk").read_text()
        assert nuke.root().name().endswith("a.nk") and temporary.endswith("c.nk")

    def test_overwriting_is_asked_about(self, fake, nuke, tmp_path):
        path = (tmp_path / "a.nk").as_posix()
        nuke.scriptSaveAs(path)
        fake.answers.append(False)
        with pytest.raises(RuntimeError, match="exists"):
            nuke.scriptSaveAs(path)
        with pytest.raises(RuntimeError, match="exists"):
            nuke.scriptSaveAs(path, 0)
        nuke.scriptSaveAs(path, 1)

    def test_callbacks_of_files(self, fake, nuke, tmp_path):
        seen = []
        nuke.addOnScriptSave(lambda: seen.append("save"))
        nuke.addOnScriptLoad(lambda: seen.append(f"load {nuke.root().name()[-4:]}"))
        nuke.addOnScriptClose(lambda: seen.append("close"))
        nuke.addOnCreate(lambda: seen.append(f"create {nuke.thisNode().name()}"))
        nuke.addOnDestroy(lambda: seen.append(f"destroy {nuke.thisNode().name()}"))
        nuke.nodes.NoOp(name="a")
        nuke.scriptSaveAs((tmp_path / "a.nk").as_posix())
        nuke.scriptOpen((tmp_path / "a.nk").as_posix())
        nuke.scriptClear()
        assert seen == [
            *("create a", "save"),
            *("close", "destroy a", "create a", "load a.nk"),
            *("close", "destroy a"),
        ]

    def test_what_was_open_is_gone(self, fake, nuke, tmp_path):
        node, root = nuke.nodes.NoOp(), nuke.root()
        fake.close_script()
        for use in (node.name, root.name):
            with pytest.raises(ValueError, match="not attached"):
                use()
        assert nuke.allNodes() == [] and nuke.root().name() == "Root"

    def test_a_script_that_is_not_there(self, nuke, tmp_path):
        node = nuke.nodes.NoOp()
        with pytest.raises(RuntimeError, match=r"nothing\.nk"):
            nuke.scriptOpen((tmp_path / "nothing.nk").as_posix())
        assert node.name() == "NoOp1"

    def test_knobs_that_are_not_to_be_written(self, fake, nuke, tmp_path):
        node = nuke.nodes.NoOp(name="a")
        node.addKnob(nuke.String_Knob("secret"))
        node["secret"].setFlag(nuke.DO_NOT_WRITE)
        node["secret"].setValue("x")
        fake.save(tmp_path / "a.nk")
        fake.open(tmp_path / "a.nk")
        assert nuke.toNode("a")["secret"].value() == ""

    def test_views_and_exr_knobs(self, fake, nuke, tmp_path):
        nuke.addView("right")
        nuke.nodes.Write(name="w", file="a.exr")["datatype"].setValue("32 bit float")
        nuke.nodes.OneView(name="one", view="right")
        fake.save(tmp_path / "a.nk")
        fake.open(tmp_path / "a.nk")
        assert nuke.views() == ["main", "right"] and nuke.toNode("one")["view"].value() == "right"
        assert nuke.toNode("w")["datatype"].value() == "32 bit float"

    def test_knobs_as_text(self, nuke):
        node = nuke.nodes.NoOp(name="a", label="x")
        other = nuke.nodes.NoOp(name="b")
        node.addKnob(nuke.Int_Knob("n", "", 3))
        other.readKnobs(node.writeKnobs(nuke.WRITE_USER_KNOB_DEFS | nuke.WRITE_NON_DEFAULT_ONLY))
        assert (other["label"].value(), other["n"].value(), other.name()) == ("x", 3, "b")
        assert len(node.writeKnobs(nuke.WRITE_ALL)) > len(node.writeKnobs(nuke.WRITE_NON_DEFAULT_ONLY))


class TestCopying:
    def test_a_copy_has_everything_but_the_name(self, fake, nuke):
        group = make_comp(fake)
        (copy,) = fake.copy_paste(group)
        assert copy.name() == "VOIDRemove2" and copy.input(1) is None
        assert copy["state"].value() == group["state"].value()
        assert [node.name() for node in copy.nodes()] == [node.name() for node in group.nodes()]
        copy["show"].setValue("result")
        assert group["show"].value() == "original"

    def test_connections_among_what_is_copied(self, fake, nuke):
        first = nuke.nodes.Constant()
        copies = fake.copy_paste([first, nuke.nodes.Grade(inputs=[first])])
        assert copies[1].input(0) is copies[0] and copies[0] is not first

    def test_through_a_file(self, fake, nuke, tmp_path):
        node = nuke.nodes.NoOp(name="a", label="x")
        nuke.nodes.NoOp(name="b")
        node.selectOnly()
        nuke.nodeCopy(str(tmp_path / "clip.nk"))
        pasted = nuke.nodePaste(str(tmp_path / "clip.nk"))
        assert (pasted.name(), pasted["label"].value()) == ("a1", "x") and nuke.selectedNodes() == [pasted]

    def test_pasting_is_a_creation(self, fake, nuke):
        seen = []
        node = nuke.nodes.Group()
        nuke.addOnCreate(lambda: seen.append(nuke.thisNode().name()), nodeClass="Group")
        fake.copy_paste(node)
        assert seen == ["Group2"]


class TestUndo:
    def test_a_named_step(self, fake, nuke):
        node = nuke.nodes.NoOp(name="a")
        with nuke.Undo():
            nuke.Undo.name("make")
            node["label"].setValue("x")
            group = nuke.nodes.Group(name="g")
            node.setInput(0, nuke.nodes.Constant(name="c"))
            group.addKnob(nuke.Int_Knob("n"))
        assert fake.undo.steps[-1].name == "make"
        nuke.undo()
        assert nuke.toNode("g") is None and nuke.toNode("c") is None
        assert node["label"].value() == "" and node.input(0) is None
        with pytest.raises(ValueError):
            group.name()
        nuke.redo()
        assert nuke.toNode("g") is group and group["n"].value() == 0
        assert node.input(0) is nuke.toNode("c") and node["label"].value() == "x"

    def test_changes_of_one_knob_are_taken_back_in_order(self, nuke):
        node = nuke.nodes.NoOp()
        with nuke.Undo("three times"):
            for text in ("a", "b", "c"):
                node["label"].setValue(text)
        nuke.undo()
        assert node["label"].value() == ""
        nuke.redo()
        assert node["label"].value() == "c"

    def test_deleting(self, nuke):
        first = nuke.nodes.Constant()
        second = nuke.nodes.NoOp(inputs=[first])
        nuke.Undo.begin("delete")
        nuke.delete(first)
        nuke.Undo.end()
        nuke.undo()
        assert second.input(0) is first and first.name() == "Constant1"

    def test_nothing_is_recorded_while_it_is_off(self, fake, nuke):
        node = nuke.nodes.NoOp()
        before = nuke.Undo.undoSize()
        nuke.Undo.disable()
        nuke.Undo.disable()
        node["label"].setValue("x")
        nuke.Undo.enable()
        assert nuke.Undo.disabled()
        node["label"].setValue("y")
        nuke.Undo.enable()
        assert not nuke.Undo.disabled() and nuke.Undo.undoSize() == before
        node["label"].setValue("z")
        nuke.undo()
        assert node["label"].value() == "y"

    def test_a_knob_that_cannot_be_undone(self, nuke):
        node = nuke.nodes.NoOp()
        node.addKnob(nuke.String_Knob("state"))
        node["state"].setFlag(nuke.NO_UNDO)
        with nuke.Undo("both"):
            node["label"].setValue("x")
            node["state"].setValue("done")
        nuke.undo()
        assert (node["label"].value(), node["state"].value()) == ("", "done")

    def test_cancelling(self, nuke):
        node = nuke.nodes.NoOp()
        nuke.Undo.begin("try")
        node["label"].setValue("x")
        nuke.Undo.cancel()
        assert node["label"].value() == ""

    def test_steps_within_steps_are_one(self, nuke):
        node = nuke.nodes.NoOp()
        size = nuke.Undo.undoSize()
        with nuke.Undo("outer"), nuke.Undo("inner"):
            node["label"].setValue("x")
        assert nuke.Undo.undoSize() == size + 1


class TestTerminal:
    def test_a_second_nuke(self, fake, nuke, tmp_path):
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

    def test_without_a_script_it_refuses(self, tmp_path):
        done = subprocess.run([write_executable(tmp_path), "-t"], capture_output=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and b"-t script.py" in done.stderr

    def test_boxes_by_a_function_stay_in_their_process(self, fake, nuke, tmp_path):
        roto = nuke.nodes.Roto()
        fake.draw(roto, lambda frame: (0, 0, 1, 1))
        fake.save(tmp_path / "a.nk")
        fake.drawings.pop(roto._drawing)
        with pytest.raises(RuntimeError, match="another process"):
            fake.open(tmp_path / "a.nk")
