"""The fake of Nuke as an application: its module, its main thread, callbacks, questions, menus."""

from __future__ import annotations

import sys
import threading

import pytest

from tests.hosts.fake_nuke import FakeNuke


@pytest.fixture
def fake():
    with FakeNuke() as session:
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


def on_thread(call):
    """Run `call` on another thread; returns what it gave, or raises what it raised."""
    outcome = []

    def work():
        try:
            outcome.append((call(), None))
        except BaseException as exc:
            outcome.append((None, exc))

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


class TestModule:
    def test_import_gives_the_session_until_it_is_uninstalled(self):
        before = sys.modules.get("nuke")
        fake = FakeNuke().install()
        try:
            import nuke

            assert nuke is fake.nuke
        finally:
            fake.uninstall()
        assert sys.modules.get("nuke") is before

    def test_each_session_is_fresh(self):
        with FakeNuke() as first:
            first.nuke.nodes.NoOp()
            first.nuke.Layer("mine", ["mine.x"])
        with FakeNuke() as second:
            assert second.nuke.allNodes() == []
            assert "mine" not in second.nuke.layers()

    @pytest.mark.parametrize("version", [14, 15, 16, 17])
    def test_versions(self, version):
        with FakeNuke(version=version) as fake:
            assert fake.nuke.NUKE_VERSION_MAJOR == fake.nuke.env["NukeVersionMajor"] == version
            assert fake.nuke.env["ExecutablePath"] == fake.nuke.EXE_PATH

    def test_another_version_is_refused(self):
        with pytest.raises(ValueError, match="expected one of"):
            FakeNuke(version=13)

    def test_a_misspelt_function_is_an_error(self, nuke):
        with pytest.raises(AttributeError):
            nuke.thisNod()

    def test_in_a_terminal_there_is_no_interface(self):
        with FakeNuke(gui=False) as fake:
            assert not fake.nuke.GUI and not fake.nuke.env["gui"]
            with pytest.raises(RuntimeError, match="no menus"):
                fake.nuke.menu("Nodes")
            with pytest.raises(AssertionError, match="nobody is there"):
                fake.nuke.ask("Sure?")


class TestMainThread:
    @pytest.mark.parametrize(
        "call",
        [
            lambda nuke, node: nuke.allNodes(),
            lambda nuke, node: nuke.nodes.NoOp(),
            lambda nuke, node: node.name(),
            lambda nuke, node: node["label"],
            lambda nuke, node: node.knob("label"),
            lambda nuke, node: nuke.Int_Knob("x").setValue(1),
            lambda nuke, node: nuke.addOnCreate(print),
            lambda nuke, node: nuke.ProgressTask("x").isCancelled(),
            lambda nuke, node: nuke.Undo.disable(),
            lambda nuke, node: nuke.message("hello"),
        ],
    )
    def test_the_api_belongs_to_it(self, nuke, call):
        node = nuke.nodes.NoOp()
        with pytest.raises(AssertionError, match="main thread"):
            on_thread(lambda: call(nuke, node))

    def test_other_threads_may_queue_calls(self, fake, nuke):
        label = nuke.nodes.NoOp()["label"]
        on_thread(lambda: nuke.executeInMainThread(label.setValue, "done"))
        assert label.value() == ""
        assert fake.tick() == 1
        assert label.value() == "done"

    def test_arguments_that_are_no_tuple_are_one(self, fake, nuke):
        got = []
        on_thread(lambda: nuke.executeInMainThread(got.append, "text"))
        on_thread(lambda: nuke.executeInMainThread(lambda **kwargs: got.append(kwargs), (), {"a": 1}))
        fake.tick()
        assert got == ["text", {"a": 1}]

    def test_a_result_is_waited_for(self, fake, nuke):
        results = []
        thread = threading.Thread(target=lambda: results.append(nuke.executeInMainThreadWithResult(lambda: 7)))
        thread.start()
        fake.pump(until=lambda: results)
        thread.join()
        assert results == [7]

    def test_an_error_behind_a_result_is_printed_and_gives_none(self, fake, nuke, capsys):
        results = []

        def fails():
            raise ValueError("no good")

        thread = threading.Thread(target=lambda: results.append(nuke.executeInMainThreadWithResult(fails)))
        thread.start()
        fake.pump(until=lambda: results)
        thread.join()
        assert results == [None] and "no good" in capsys.readouterr().err

    def test_an_error_without_a_result_is_raised_to_the_test(self, fake, nuke):
        on_thread(lambda: nuke.executeInMainThread(lambda: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            fake.tick()

    @pytest.mark.parametrize("name", ["executeInMainThread", "executeInMainThreadWithResult"])
    def test_on_the_main_thread_itself_it_would_hang(self, nuke, name):
        with pytest.raises(AssertionError, match="would hang"):
            getattr(nuke, name)(print)

    def test_a_terminal_has_no_event_loop(self):
        with FakeNuke(gui=False) as fake, pytest.raises(AssertionError, match="no event loop"):
            on_thread(lambda: fake.nuke.executeInMainThread(print))

    def test_pump_gives_up(self, fake):
        with pytest.raises(AssertionError, match="still not there"):
            fake.pump(until=lambda: False, timeout=0)

    def test_what_ran_is_logged_with_its_duration(self, fake, nuke):
        def update():
            pass

        on_thread(lambda: nuke.executeInMainThread(update))
        fake.tick()
        (call,) = fake.main_thread_log
        assert call.name.endswith("update") and call.seconds >= 0

    def test_nobody_waits_for_a_session_that_is_gone(self, fake, nuke):
        results = []
        waits = nuke.executeInMainThreadWithResult
        thread = threading.Thread(target=lambda: results.append(waits(lambda: 7)))
        thread.start()
        fake.uninstall()
        thread.join(30)
        assert not thread.is_alive() and results in ([None], [7])
        fake.install()


class TestCallbacks:
    def test_on_create_by_class_with_the_node_as_context(self, nuke):
        seen = []
        nuke.addOnCreate(lambda: seen.append(nuke.thisNode().name()), nodeClass="Group")
        nuke.nodes.NoOp()
        group = nuke.nodes.Group(name="Made1")
        assert seen == [group.name()]

    def test_class_first_then_all_then_the_nodes_own(self, nuke):
        seen = []
        nuke.addOnCreate(lambda: seen.append("all"))
        nuke.addOnCreate(lambda: seen.append("class"), nodeClass="NoOp")
        nuke.seen = seen
        nuke.nodes.NoOp(onCreate="nuke.seen.append('own')")
        assert seen == ["class", "all", "own"]

    def test_the_same_call_twice_runs_once_and_can_be_removed(self, nuke):
        seen = []

        def called():
            seen.append(1)

        nuke.addOnCreate(called)
        nuke.addOnCreate(called)
        nuke.nodes.NoOp()
        nuke.removeOnCreate(called)
        nuke.nodes.NoOp()
        assert seen == [1]

    def test_user_create_is_for_create_node_only(self, nuke):
        seen = []
        nuke.addOnUserCreate(lambda: seen.append(nuke.thisNode().name()))
        nuke.nodes.NoOp()
        node = nuke.createNode("NoOp")
        assert seen == [node.name()]

    def test_on_destroy_of_a_group_and_what_it_holds(self, nuke):
        seen = []
        nuke.addOnDestroy(lambda: seen.append(nuke.thisNode().name()))
        group = nuke.nodes.Group(name="outer")
        with group:
            nuke.nodes.NoOp(name="inner")
        nuke.delete(group)
        assert seen == ["inner", "outer"]

    def test_from_17_on_knob_changed_hears_of_scripts_too(self):
        for version, expected in ((14, []), (15, []), (16, []), (17, ["label"])):
            with FakeNuke(version=version) as fake:
                seen = []
                node = fake.nuke.nodes.NoOp()
                fake.nuke.addKnobChanged(lambda seen=seen, n=fake.nuke: seen.append(n.thisKnob().name()), node=node)
                node["label"].setValue("x")
                assert seen == expected, version

    @pytest.mark.parametrize("version", [14, 16, 17])
    def test_what_an_artist_sets_is_heard_in_every_version(self, version):
        with FakeNuke(version=version) as fake:
            seen = []
            node = fake.nuke.nodes.NoOp()
            nuke = fake.nuke
            nuke.addKnobChanged(lambda: seen.append((nuke.thisNode().name(), nuke.thisKnob().value())))
            fake.user_sets(node["label"], "x")
            assert seen == [(node.name(), "x")]

    def test_setting_the_same_value_is_no_change(self, fake, nuke):
        seen = []
        node = nuke.nodes.NoOp()
        nuke.addKnobChanged(lambda: seen.append(1), node=node)
        node["label"].setValue("")
        assert seen == []

    def test_before_17_a_callback_does_not_hear_itself(self):
        for version, expected in ((16, ["label"]), (17, ["label", "help"])):
            with FakeNuke(version=version) as fake:
                nuke, seen = fake.nuke, []
                node = nuke.nodes.NoOp()

                def changed(nuke=nuke, node=node, seen=seen):
                    seen.append(nuke.thisKnob().name())
                    node["help"].setValue("changed")

                nuke.addKnobChanged(changed, node=node)
                fake.user_sets(node["label"], "x")
                assert seen == expected, version

    def test_the_knob_changed_text_of_a_node(self, fake, nuke):
        node = nuke.nodes.NoOp()
        node["knobChanged"].setValue("if nuke.thisKnob().name() == 'label': nuke.thisNode()['help'].setValue('heard')")
        fake.user_sets(node["label"], "x")
        assert node["help"].value() == "heard"

    def test_events_of_the_whole_node_come_as_knobs(self, fake, nuke):
        seen = []
        node, source = nuke.nodes.NoOp(), nuke.nodes.Constant()
        nuke.addKnobChanged(lambda: seen.append(nuke.thisKnob().name()), node=node)
        node.setInput(0, source)
        node.setInput(0, source)
        node.showControlPanel()
        assert seen == ["inputChange", "showPanel"]

    def test_an_error_in_a_callback_reaches_the_test(self, nuke):
        nuke.addOnCreate(lambda: 1 / 0, nodeClass="NoOp")
        with pytest.raises(ZeroDivisionError):
            nuke.nodes.NoOp()

    def test_a_button_runs_its_text_with_its_node(self, fake, nuke):
        node = nuke.nodes.NoOp(name="owner")
        node.addKnob(nuke.PyScript_Knob("go", "Go", "nuke.message(nuke.thisNode().name() + nuke.thisKnob().name())"))
        node["go"].execute()
        assert fake.messages == ["ownergo"]

    def test_a_button_of_an_inner_node_works_in_its_group(self, nuke):
        group = nuke.nodes.Group()
        with group:
            node = nuke.nodes.NoOp()
        node.addKnob(nuke.PyScript_Knob("go", "Go", "nuke.nodes.Dot(name='made'); assert nuke.thisGroup()"))
        node["go"].execute()
        assert group.node("made") is not None and nuke.toNode("made") is None

    def test_pressing_a_button_is_a_change_too(self, fake, nuke):
        seen = []
        node = nuke.nodes.NoOp()
        node.addKnob(nuke.PyScript_Knob("go", "Go", "pass"))
        nuke.addKnobChanged(lambda: seen.append(nuke.thisKnob().name()), node=node)
        fake.user_presses(node["go"])
        assert seen == ["go"]

    def test_outside_callbacks_the_root_is_this_node(self, nuke):
        assert nuke.thisNode() is nuke.root() and nuke.thisKnob() is None and nuke.thisGroup() is nuke.root()

    def test_a_group_left_open_in_a_callback_is_closed(self, nuke):
        nuke.addOnCreate(lambda: nuke.thisNode().begin(), nodeClass="Group")
        nuke.nodes.Group()
        assert nuke.thisGroup() is nuke.root()

    def test_update_ui(self, fake, nuke):
        seen = []
        nuke.addUpdateUI(lambda: seen.append(nuke.thisNode().name()))
        node = nuke.nodes.NoOp()
        fake.update_ui()
        assert seen == [node.name()]


class TestDialogs:
    def test_messages_and_answers(self, fake, nuke):
        fake.answers.extend([True, False, "17", None])
        nuke.message("hello")
        assert nuke.ask("Sure?") is True and nuke.ask("Really?") is False
        assert nuke.getInput("Number?") == "17" and nuke.getInput("Again?") is None
        assert fake.messages == ["hello", "Sure?", "Really?", "Number?", "Again?"]

    def test_a_question_without_an_answer_fails_the_test(self, nuke):
        with pytest.raises(AssertionError, match="Sure"):
            nuke.ask("Sure?")

    def test_a_message_takes_text_only(self, nuke):
        with pytest.raises(TypeError):
            nuke.message(7)

    def test_progress(self, fake, nuke):
        task = nuke.ProgressTask("Export")
        task.setProgress(10)
        task.setMessage("frame 1")
        assert not task.isCancelled()
        fake.cancel_progress(lambda task: task.percents[-1] >= 20)
        assert not task.isCancelled()
        task.setProgress(20)
        assert task.isCancelled() and fake.progress == [task]
        assert (task.title, task.percents, task.texts) == ("Export", [10, 20], ["frame 1"])
        with pytest.raises(TypeError):
            task.setProgress(0.5)

    def test_printed_lines(self, fake, nuke):
        nuke.tprint("a", 1)
        nuke.warning("careful")
        assert fake.dialogs.printed == ["a 1", "warning: careful"]


class TestMenus:
    def test_commands_as_text_and_as_functions(self, fake, nuke):
        seen = []
        menu = nuke.menu("Nodes").addMenu("VOID")
        menu.addCommand("Remove", lambda: seen.append("called"))
        nuke.menu("Nodes").addCommand("VOID/Say", "nuke.message('said')")
        nuke.menu("Nodes").findItem("VOID/Remove").invoke()
        nuke.menu("Nodes").findItem("VOID/Say").invoke()
        assert seen == ["called"] and fake.messages == ["said"]
        assert [item.name() for item in menu.items()] == ["Remove", "Say"]

    def test_what_is_not_there_is_none(self, nuke):
        menu = nuke.menu("Nuke")
        assert menu.findItem("VOID/Remove") is None
        menu.addMenu("VOID").addCommand("Remove", "")
        menu.removeItem("VOID")
        assert menu.findItem("VOID") is None

    def test_plugin_paths(self, fake, nuke):
        nuke.pluginAddPath("./void_bridge")
        assert nuke.pluginPath() == fake.plugin_paths == ["./void_bridge"]
