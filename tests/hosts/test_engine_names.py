"""The engines that a panel offers are those of the server's welcome, so that an engine of any package can be chosen.

`passthrough` stands for it: the server has it, and no panel lists it by itself.
"""

from __future__ import annotations

import pytest

from host_plugins.control.settings import Settings, offered_specs, settings_from
from tests.hosts.fusion_shots import SPACE, V1, FusionShot
from tests.hosts.nuke_comp import LAST_S, Comp
from tests.hosts.nuke_comp import V1 as NUKE_V1
from tests.hosts.nuke_plugin import load, started, stop
from tests.hosts.test_resolve_dialogs import ACTION, run_dialogs
from void_bridge.job import JobFile

KNOWN = ["auto", "propagate", "void"]


@pytest.fixture
def comp(served, footage, tmp_path):
    with started() as (fake, plugin):
        yield Comp(fake, plugin, footage, tmp_path)


def engine_of(folder, version):
    return JobFile.read(folder / "void" / version / "job.json").job.engine


def test_without_a_server_the_known_engines_are_offered_and_the_chosen_one():
    def offered(settings, *engines):
        return next(list(spec.values) for spec in offered_specs(settings, engines) if spec.name == "engine")

    assert offered(Settings()) == KNOWN
    assert offered(settings_from({"engine": "acme"})) == [*KNOWN, "acme"]
    assert offered(settings_from({"engine": "acme"}), "acme", "void") == ["auto", "acme", "void"]
    assert offered(settings_from({"engine": "propagate"}), "void") == ["auto", "void", "propagate"]


def test_nuke_offers_the_engines_of_the_server_and_the_script_keeps_the_choice(comp):
    knob = comp.node["engine"]
    assert knob.values() == KNOWN
    comp.press("check_server")
    comp.fake.pump(lambda: "passthrough" in knob.values(), LAST_S)
    assert knob.value() == "propagate" and "void" in knob.values()
    comp.fake.user_sets(knob, "passthrough")
    comp.nuke.scriptSave()
    stop()
    comp.fake.close_script()
    load(comp.fake)
    comp.fake.open(comp.script)
    comp.node = comp.nuke.toNode("VOIDRemove1")
    assert comp.node["engine"].value() == "passthrough"
    comp.submit()
    assert engine_of(comp.folder, NUKE_V1) == "passthrough"


def test_nuke_says_which_engines_the_server_has_where_it_lacks_the_chosen_one(comp):
    comp.node["engine"].setValues([*KNOWN, "acme"])
    comp.node["engine"].setValue("acme")
    comp.press("submit")
    comp.fake.pump(lambda: "acme" in comp.status(), LAST_S)
    assert "nknown engine 'acme', this server has auto, passthrough, propagate, roundtrip, void" in comp.status()


def test_a_node_of_an_older_version_lacks_the_knobs_of_newer_options(comp):
    from host_plugins.nuke.panel import settings_of

    lines = comp.script.read_text().splitlines(keepends=True)
    comp.script.write_text("".join(line for line in lines if "model_fps" not in line))
    comp.fake.close_script()
    comp.fake.open(comp.script)
    node = comp.nuke.toNode("VOIDRemove1")
    assert node.knob("model_fps") is None
    assert settings_of(node)["model_fps"] == "native" and settings_of(node)["engine"] == "propagate"


def test_the_window_of_fusion_offers_the_engines_of_the_server_and_remembers_the_choice(served, footage, tmp_path):
    shot = FusionShot(footage, tmp_path)

    def choose(user):
        assert user.item("engine").entries == KNOWN
        user.type("colorspace", SPACE)
        user.choose("engine", "void")
        user.click("check_server")
        user.until(lambda: "passthrough" in user.item("engine").entries)
        assert user.item("engine").entries[user.item("engine").CurrentIndex] == "void"
        assert user.text("colorspace") == SPACE
        user.choose("engine", "passthrough")
        user.click("submit")
        user.until(shot.shows_result)

    def look(user):
        engine = user.item("engine")
        assert engine.entries == [*KNOWN, "passthrough"] and engine.CurrentIndex == 3

    shot.run_window(choose)
    assert engine_of(shot.folder, V1) == "passthrough"
    shot.run_window(look)


def test_the_dialog_of_fusion_offers_the_engines_of_the_server(served, footage, tmp_path):
    shot = FusionShot(footage, tmp_path, windows=False)
    chosen = {"engine": "passthrough", "colorspace": SPACE, "action": ACTION["submit"]}
    run_dialogs(shot, {"action": ACTION["check_server"]}, chosen)
    first, second = (list(dialog["engine"]["Options"].values()) for _, dialog in shot.fake.dialogs)
    assert first == KNOWN and {"auto", "passthrough", "void"} <= set(second)
    assert engine_of(shot.folder, V1) == "passthrough"
