"""The fake of Nuke: nodes and knobs, expressions, animation, file names."""

from __future__ import annotations

import pytest

from tests.hosts.fake_nuke import FakeNuke
from tests.hosts.fake_nuke.curves import parse_curve, split_fields
from tests.hosts.fake_nuke.expressions import ExpressionError


@pytest.fixture
def fake():
    with FakeNuke() as session:
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


@pytest.fixture
def node(nuke):
    return nuke.nodes.NoOp(name="node")


class TestNodes:
    def test_an_unknown_class_is_a_runtime_error(self, nuke):
        with pytest.raises(RuntimeError, match="KeyMix"):
            nuke.nodes.KeyMix()
        with pytest.raises(RuntimeError, match="KeyMix"):
            nuke.createNode("KeyMix")

    def test_an_unknown_knob(self, node):
        with pytest.raises(NameError, match="lable"):
            node["lable"]
        assert node.knob("lable") is None

    def test_an_unknown_knob_when_made(self, nuke):
        with pytest.raises(NameError):
            nuke.nodes.Keymix(maskChanel="alpha")

    def test_names_are_unique_in_their_group(self, nuke):
        assert [nuke.nodes.Merge2().name() for _ in range(2)] == ["Merge1", "Merge2"]
        assert [nuke.nodes.NoOp(name="here9").name() for _ in range(2)] == ["here9", "here10"]
        with nuke.nodes.Group(name="group"):
            assert nuke.nodes.NoOp(name="here9").fullName() == "group.here9"

    def test_renaming(self, nuke, node):
        other = nuke.nodes.NoOp(name="other")
        node.setName("other")
        assert node.name() == "other1" and nuke.toNode("other") is other
        node["name"].setValue("third")
        assert nuke.toNode("third") is node
        with pytest.raises(ValueError):
            node.setName("two words")

    def test_nodes_live_in_the_group_that_they_are_made_in(self, nuke):
        group = nuke.nodes.Group()
        group.begin()
        inner = nuke.nodes.NoOp(name="inner")
        group.end()
        outer = nuke.nodes.NoOp(name="outer")
        assert inner.parent() is group and outer.parent() is nuke.root()
        assert group.nodes() == [inner] and nuke.allNodes(group=group) == [inner]
        assert inner in nuke.allNodes(recurseGroups=True) and inner not in nuke.allNodes()
        assert nuke.toNode(f"{group.name()}.inner") is inner and group.node("inner") is inner

    def test_inputs_of_a_group_are_its_input_nodes_by_number(self, nuke):
        group = nuke.nodes.Group()
        with group:
            nuke.nodes.Input(name="second", number=1)
            nuke.nodes.Input(name="first", number=0)
        assert group.maxInputs() == 2
        assert [node.name() for node in group._input_nodes()] == ["first", "second"]

    def test_new_inputs_count_on(self, nuke):
        with nuke.nodes.Group():
            assert [int(nuke.nodes.Input()["number"].value()) for _ in range(3)] == [0, 1, 2]

    def test_inputs_that_are_not_there_are_refused(self, nuke, node):
        with pytest.raises(ValueError, match="1 inputs"):
            node.setInput(1, nuke.nodes.Constant())

    def test_a_node_of_another_group_is_no_input(self, nuke, node):
        with nuke.nodes.Group():
            inner = nuke.nodes.NoOp()
        with pytest.raises(ValueError, match="another group"):
            node.setInput(0, inner)

    def test_loops_are_refused(self, nuke, node):
        other = nuke.nodes.NoOp(inputs=[node])
        assert not node.canSetInput(0, other)
        with pytest.raises(ValueError):
            node.setInput(0, other)

    def test_connections(self, nuke, node):
        first, second = nuke.nodes.Constant(), nuke.nodes.Constant()
        merge = nuke.nodes.Merge2(inputs=[first])
        assert merge.connectInput(0, second)
        assert [merge.input(index) for index in (0, 1, 2)] == [first, second, None]
        assert merge.dependencies(nuke.INPUTS) == [first, second]
        assert first.dependent(nuke.INPUTS) == [merge]

    def test_expressions_are_dependencies(self, nuke, node):
        other = nuke.nodes.NoOp(name="other")
        other["disable" if other.knob("disable") else "hide_input"].setExpression("node.hide_input")
        assert other.dependencies(nuke.EXPRESSIONS) == [node]
        assert other.dependencies(nuke.INPUTS) == [] and node.dependent() == [other]

    def test_a_deleted_node_refuses_everything(self, nuke, node):
        knob = node["label"]
        nuke.delete(node)
        for use in (node.name, lambda: node["label"], knob.value, lambda: knob.setValue("x")):
            with pytest.raises(ValueError, match="not attached to a node"):
                use()
        assert nuke.toNode("node") is None

    def test_deleting_disconnects(self, nuke, node):
        after = nuke.nodes.NoOp(inputs=[node])
        nuke.delete(node)
        assert after.input(0) is None

    def test_the_root_stays(self, nuke):
        with pytest.raises(ValueError):
            nuke.delete(nuke.root())

    def test_create_node_connects_and_selects(self, nuke, node):
        node.setSelected(True)
        made = nuke.createNode("Dot")
        assert made.input(0) is node and nuke.selectedNodes() == [made] and nuke.selectedNode() is made

    def test_nothing_selected(self, nuke):
        with pytest.raises(ValueError):
            nuke.selectedNode()

    def test_create_node_with_knobs(self, nuke):
        made = nuke.createNode("NoOp", "label {two words} tile_color 255")
        assert made["label"].value() == "two words" and made["tile_color"].value() == 255

    def test_positions(self, node):
        node.setXYpos(30, -40)
        assert (node.xpos(), node.ypos()) == (30, -40)

    def test_exr_knobs_are_there_for_exr_only(self, nuke):
        write = nuke.nodes.Write()
        assert write.knob("datatype") is None
        write["file"].setValue("a.%04d.exr")
        assert write["datatype"].value() == "16 bit half"
        write["file_type"].setValue("png")
        assert write.knob("datatype") is None
        write["file"].setValue("a.dpx")
        write["file_type"].setValue("exr")
        assert write["compression"].value() == "Zip (1 scanline)"
        with pytest.raises(NameError):
            nuke.nodes.Write(datatype="32 bit float")

    def test_group_is_a_group(self, nuke):
        assert isinstance(nuke.nodes.Group(), nuke.Group) and not isinstance(nuke.nodes.NoOp(), nuke.Group)
        assert isinstance(nuke.root(), nuke.Root) and bool(nuke.nodes.NoOp())


class TestValues:
    @pytest.mark.parametrize(
        ("make", "wrong"),
        [
            (lambda nuke: nuke.Int_Knob("k"), "1"),
            (lambda nuke: nuke.Int_Knob("k"), 1.5),
            (lambda nuke: nuke.Double_Knob("k"), "1"),
            (lambda nuke: nuke.Double_Knob("k"), [1, 2]),
            (lambda nuke: nuke.Boolean_Knob("k"), "true"),
            (lambda nuke: nuke.String_Knob("k"), 1),
            (lambda nuke: nuke.File_Knob("k"), None),
            (lambda nuke: nuke.Text_Knob("k"), 1),
            (lambda nuke: nuke.Multiline_Eval_String_Knob("k"), 1),
            (lambda nuke: nuke.Enumeration_Knob("k", "k", ["a"]), None),
            (lambda nuke: nuke.Channel_Knob("k"), 1),
            (lambda nuke: nuke.Tab_Knob("k"), "x"),
        ],
    )
    def test_a_wrong_type_is_a_type_error(self, nuke, make, wrong):
        with pytest.raises(TypeError):
            make(nuke).setValue(wrong)

    @pytest.mark.parametrize(
        ("make", "value"),
        [
            (lambda nuke: nuke.Int_Knob("k"), 7),
            (lambda nuke: nuke.Double_Knob("k"), 0.25),
            (lambda nuke: nuke.Boolean_Knob("k"), True),
            (lambda nuke: nuke.String_Knob("k"), "text"),
            (lambda nuke: nuke.Multiline_Eval_String_Knob("k"), "two\nlines"),
            (lambda nuke: nuke.Enumeration_Knob("k", "k", ["a", "b"]), "b"),
            (lambda nuke: nuke.Channel_Knob("k"), "alpha"),
            (lambda nuke: nuke.XY_Knob("k"), [1.0, 2.0]),
            (lambda nuke: nuke.AColor_Knob("k"), [0.1, 0.2, 0.3, 1.0]),
            (lambda nuke: nuke.AColor_Knob("k"), 0.5),
            (lambda nuke: nuke.FreeType_Knob("k"), "Sans"),
        ],
    )
    def test_what_is_set_comes_back(self, nuke, make, value):
        knob = make(nuke)
        knob.setValue(value)
        assert knob.value() == value and type(knob.value()) is type(value)

    def test_values_at_the_start(self, nuke):
        assert nuke.Int_Knob("k", "k", 3).value() == 3
        assert nuke.Boolean_Knob("k", "k", True).value() is True
        assert nuke.String_Knob("k", "k", "x").value() == "x"
        assert nuke.Text_Knob("k", "k", "x").value() == "x"
        assert nuke.Enumeration_Knob("k", "k", ["a", "b"]).value() == "a"
        assert nuke.PyScript_Knob("k", "k", "pass").command() == "pass"

    def test_an_enumeration_names_its_values(self, nuke):
        keymix = nuke.nodes.Keymix()
        with pytest.raises(ValueError, match="'union', 'B', 'A'"):
            keymix["bbox"].setValue("C")
        with pytest.raises(ValueError):
            keymix["bbox"].setValue(3)
        keymix["bbox"].setValue(1)
        assert keymix["bbox"].value() == "B" and keymix["bbox"].getValue() == 1

    def test_an_enumeration_takes_aliases_not_labels(self, nuke):
        reformat = nuke.nodes.Reformat(filter="Bicubic")
        assert reformat["filter"].value() == "cubic"
        with pytest.raises(ValueError):
            nuke.nodes.Keymix(bbox="B side")

    def test_colour_spaces_come_from_a_config_that_the_fake_does_not_know(self, nuke):
        read = nuke.nodes.Read(colorspace="ACES - ACEScg")
        assert read["colorspace"].value() == "ACES - ACEScg"

    def test_channels_have_to_be_the_scripts(self, nuke):
        keymix = nuke.nodes.Keymix()
        with pytest.raises(ValueError, match=r"nuke\.Layer"):
            keymix["maskChannel"].setValue("void_bridge.paste")
        nuke.Layer("void_bridge", ["void_bridge.paste"])
        keymix["maskChannel"].setValue("void_bridge.paste")
        nuke.nodes.Write(channels="rgb void_bridge")

    def test_layers(self, nuke):
        layer = nuke.Layer("mine", ["mine.one", "mine.two"])
        assert layer.channels() == ["mine.one", "mine.two"] and "mine" in nuke.layers()
        assert "mine.two" in nuke.channels()
        with pytest.raises(ValueError):
            nuke.Layer("mine", ["other.one"])
        with pytest.raises(ValueError, match="to itself"):
            nuke.Layer("mask", ["mask.b"])

    def test_formats(self, nuke):
        root = nuke.root()
        root["format"].setValue("1998 1080 0 0 1998 1080 1.25 mine")
        found = root["format"].value()
        assert (found.width(), found.height(), found.pixelAspect(), found.name()) == (1998, 1080, 1.25, "mine")
        nuke.addFormat("64 48 1 tiny")
        root["format"].setValue("tiny")
        assert root["format"].value().width() == 64
        with pytest.raises(ValueError):
            root["format"].setValue("wide")

    def test_user_knobs(self, nuke, node):
        node.addKnob(nuke.Tab_Knob("tab", "VOID"))
        node.addKnob(nuke.Int_Knob("handles", "handles", 8))
        assert node["handles"].value() == 8 and node["handles"].node() is node
        assert node["handles"].fullyQualifiedName() == "node.handles"
        with pytest.raises(ValueError, match="already"):
            node.addKnob(nuke.Int_Knob("handles"))
        with pytest.raises(ValueError, match="letters"):
            node.addKnob(nuke.Int_Knob("two words"))
        node.removeKnob(node["handles"])
        assert node.knob("handles") is None
        with pytest.raises(ValueError):
            node.removeKnob(node["label"])

    def test_how_knobs_look(self, nuke):
        knob = nuke.Int_Knob("k", "label")
        assert (knob.name(), knob.label(), knob.Class(), knob.visible(), knob.enabled()) == (
            *("k", "label", "Int_Knob"),
            *(True, True),
        )
        knob.setVisible(False)
        knob.setEnabled(False)
        assert knob.getFlag(nuke.INVISIBLE) and knob.getFlag(nuke.DISABLED)
        knob.clearFlag(nuke.INVISIBLE)
        knob.setTooltip("tip")
        assert knob.visible() and not knob.enabled() and knob.tooltip() == "tip"

    def test_links(self, nuke):
        group = nuke.nodes.Group()
        with group:
            nuke.nodes.NoOp(name="inner", label="x")
        link = nuke.Link_Knob("link")
        group.addKnob(link)
        link.makeLink("inner", "label")
        assert link.value() == "x" and link.getLinkedKnob() is group.node("inner")["label"]
        link.setValue("y")
        assert group.node("inner")["label"].value() == "y"
        assert group.dependencies(nuke.LINKINPUTS) == [group.node("inner")]


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1 + 2 * 3", 7),
            ("(1 + 2) * 3", 9),
            ("10 / 4 - 1", 1.5),
            ("-2 + 3", 1),
            ("!0 + !5", 1),
            ("1 && 0 || 1", 1),
            ("2 == 2 && 2 != 3", 1),
            ("1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 3", 0),
            ("0 ? 1 : 2 ? 3 : 4", 3),
            ("frame", 5),
            ("frame > 3 ? 10 : 20", 10),
            ("$gui", 1),
            ("this.amount", 4),
            ("amount + 1", 5),
            ("other.amount", 6),
            ("parent.amount", 8),
            ("root.first_frame", 1001),
            ("amount(2)", 4),
            ("other.curve(1)", 1),
            ("[value amount] + 1", 5),
            ("min(3, max(1, 2))", 2),
            ("clamp(7)", 1),
        ],
    )
    def test_forms(self, fake, nuke, text, expected):
        nuke.root()["first_frame"].setValue(1001)
        group = nuke.nodes.Group()
        with group:
            node, other = nuke.nodes.NoOp(name="here"), nuke.nodes.NoOp(name="other")
        for owner, value in ((node, 4), (other, 6), (group, 8)):
            owner.addKnob(nuke.Double_Knob("amount"))
            owner["amount"].setValue(value)
        other.addKnob(nuke.Double_Knob("curve"))
        other["curve"].fromScript("{curve K x1 1 x2 2}")
        node.addKnob(nuke.Double_Knob("result"))
        node["result"].setExpression(text)
        fake.frame = 5
        assert node["result"].value() == expected

    @pytest.mark.parametrize(
        "text",
        ["nothing", "parent.nothing", "gone.amount", "1 +", "(1", "1 2", "random()", "[python 1]", "a = 1", "[x"],
    )
    def test_what_is_not_known_is_refused(self, nuke, node, text):
        node.addKnob(nuke.Double_Knob("result"))
        node["result"].setExpression(text)
        with pytest.raises(ExpressionError):
            node["result"].value()

    def test_gui_is_off_in_a_terminal(self):
        with FakeNuke(gui=False) as fake:
            node = fake.nuke.nodes.Switch()
            node["which"].setExpression("$gui ? 1 : 2")
            assert node["which"].value() == 2

    def test_booleans_and_choices_are_numbers(self, nuke, node):
        node.addKnob(nuke.Enumeration_Knob("show", "show", ["a", "b", "c"]))
        node.addKnob(nuke.Boolean_Knob("on", "on", True))
        node.addKnob(nuke.Double_Knob("result"))
        node["show"].setValue("c")
        node["result"].setExpression("show * 10 + on")
        assert node["result"].value() == 21

    def test_texts_have_no_expressions(self, node):
        with pytest.raises(TypeError):
            node["label"].setExpression("1")

    def test_an_expression_can_be_taken_away(self, nuke, node):
        node.addKnob(nuke.Double_Knob("result"))
        knob = node["result"]
        knob.setExpression("1 + 1")
        assert knob.hasExpression() and knob.isAnimated()
        knob.clearAnimated()
        assert not knob.hasExpression() and knob.value() == 2


class TestAnimation:
    def test_a_curve_from_a_script(self, fake, nuke, node):
        knob = nuke.Double_Knob("k")
        node.addKnob(knob)
        knob.fromScript("{curve K x1001 1 x1011 0}")
        assert [knob.getValueAt(frame) for frame in (990, 1001, 1010, 1011, 1020)] == [1, 1, 1, 0, 0]
        assert (
            knob.isAnimated() and knob.getKeyList() == [1001, 1011] and knob.toScript() == "{curve K x1001 1 x1011 0}"
        )
        fake.frame = 1011
        assert knob.value() == 0
        again = nuke.Double_Knob("again")
        again.fromScript(knob.toScript(quote=True))
        assert again.toScript() == knob.toScript()

    def test_linear_and_stepped_keys(self, nuke):
        assert [parse_curve("curve L x0 0 x10 1 K x20 2").value(frame) for frame in (5, 15, 25)] == [0.5, 1.5, 2]
        assert parse_curve("curve K x0 0 K x10 1").text() == "curve K x0 0 x10 1"
        assert parse_curve("curve K x3 1 2 3").text() == "curve K x3 1 x6 2 x9 3"

    def test_smooth_keys_are_not_guessed(self, nuke):
        curve = parse_curve("curve x1 0 x11 1 x21 1")
        assert [curve.value(frame) for frame in (1, 11, 15)] == [0, 1, 1]
        with pytest.raises(RuntimeError, match="smooth"):
            curve.value(5)

    @pytest.mark.parametrize("text", ["line x1 0", "curve C x1 0", "curve x1 0 s2", "curve x1 nothing"])
    def test_other_curves_are_refused(self, text):
        with pytest.raises(ValueError):
            parse_curve(text)

    def test_keys_by_hand(self, nuke, node):
        node.addKnob(nuke.Int_Knob("k"))
        knob = node["k"]
        knob.setAnimated()
        knob.setValueAt(5, 10)
        assert knob.isKeyAt(10) and knob.getValueAt(10) == 5 and knob.getNumKeys() == 2
        knob.removeKeyAt(10)
        assert not knob.isKeyAt(10)
        knob.clearAnimated()
        assert not knob.isAnimated() and knob.value() == 0

    def test_setting_an_animated_knob_sets_a_key(self, fake, nuke, node):
        node.addKnob(nuke.Double_Knob("k"))
        node["k"].fromScript("{curve K x1 1}")
        fake.frame = 7
        node["k"].setValue(3)
        assert node["k"].getValueAt(1) == 1 and node["k"].getValueAt(7) == 3

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("3", "3"),
            ("{parent.show == 2}", "{parent.show == 2}"),
            ("{{parent.show == 2}}", "{parent.show == 2}"),
            ("parent.show + 1", "{parent.show + 1}"),
            ("{{curve K x1 1}}", "{curve K x1 1}"),
        ],
    )
    def test_a_number_from_scripts(self, nuke, text, expected):
        knob = nuke.Double_Knob("k")
        knob.fromScript(text)
        assert knob.toScript() == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1 2", "1 2"),
            ("{1 2}", "1 2"),
            ("4", "4 4"),
            ("{frame} 2", "{frame} 2"),
            ("{{curve K x1 1} 2}", "{curve K x1 1} 2"),
        ],
    )
    def test_two_numbers_from_scripts(self, nuke, text, expected):
        knob = nuke.XY_Knob("k")
        knob.fromScript(text)
        assert knob.toScript() == expected

    def test_unbalanced_braces(self):
        assert split_fields("a {b c} {d {e f}}") == ("a", "b c", "d {e f}")
        with pytest.raises(ValueError):
            split_fields("{a")


class TestTexts:
    @pytest.fixture
    def saved(self, fake, tmp_path):
        fake.save(tmp_path / "shot_v001.nk")
        return tmp_path

    def test_commands_in_texts(self, nuke, saved):
        node = nuke.nodes.NoOp(name="N", label="[file rootname [file tail [value root.name]]] [value name] \\[x\\]")
        assert node["label"].evaluate() == "shot_v001 N [x]"
        assert node["label"].value().startswith("[file")

    def test_the_scripts_folder(self, nuke, node, saved):
        node.addKnob(nuke.File_Knob("out"))
        node["out"].setValue("[file dirname [value root.name]]/void/a.%04d.exr")
        assert node["out"].evaluate(1001) == f"{saved.as_posix()}/void/a.1001.exr"
        assert node["out"].getEvaluatedValue() == f"{saved.as_posix()}/void/a.%04d.exr"

    @pytest.mark.parametrize(
        ("text", "frame", "expected"),
        [
            ("a.%04d.exr", 7, "a.0007.exr"),
            ("a.####.exr", 1007, "a.1007.exr"),
            ("a.%d.exr", 7, "a.7.exr"),
            ("a.%04d.exr", -7, "a.-007.exr"),
            ("%V/%v.exr", 1, "main/m.exr"),
        ],
    )
    def test_frames_and_views_in_file_names(self, nuke, text, frame, expected):
        read = nuke.nodes.Read(file=text)
        assert read["file"].evaluate(frame) == expected

    def test_a_file_knob_speaks_technically(self, nuke):
        read = nuke.nodes.Read(file="a.####.exr")
        assert read["file"].value() == read["file"].getValue() == "a.%04d.exr"
        assert nuke.filename(read) == "a.%04d.exr" and nuke.filename(read, nuke.REPLACE) == "a.0001.exr"

    def test_no_file_name(self, nuke):
        read = nuke.nodes.Read()
        assert read["file"].evaluate() is None and read["file"].value() == "" and nuke.filename(read) is None

    def test_an_unknown_command_is_refused(self, nuke):
        node = nuke.nodes.NoOp(label="[exec rm]")
        with pytest.raises(ExpressionError):
            node["label"].evaluate()

    def test_frame_ranges(self, nuke):
        assert list(nuke.FrameRange("1-7x3")) == list(nuke.FrameRange(1, 7, 3)) == [1, 4, 7]
        ranges = nuke.FrameRanges("1-3 10")
        assert ranges.toFrameList() == [1, 2, 3, 10] and (ranges.minFrame(), ranges.maxFrame()) == (1, 10)
        with pytest.raises(ValueError):
            nuke.FrameRange("one")
