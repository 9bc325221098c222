"""The one list of options: complete, the same everywhere, and written into the pages that show it."""

from __future__ import annotations

import argparse
from typing import get_args, get_type_hints

import pytest

from host_plugins.control.settings import INTEGER_MAX, Settings, setting_specs, settings_from
from tools.write_options import JOB_ROWS, LUA, LUA_LIST, PAGE, PROTOCOL, lua_list, options_page, protocol_rows
from void_bridge.cli.job_options import add_job_options, flag_of
from void_bridge.config import Config
from void_bridge.errors import UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import MATTE_OPTIONS, MATTE_ROLES, Colour, Job, MatteSource
from void_bridge.options import GROUPS, PRIORITY, TRANSPORTS, options_of

OPTIONS = {each.name: each for each in options_of(Job)}
ENGINES = {"void", "propagate"}


def job(**options) -> Job:
    return Job("p.####.exr", FrameRange([1]), "", Colour("", ""), MatteSource("m.exr"), **options)


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_declared_in_full(option):
    assert option.help and option.group in GROUPS
    assert bool(option.label) == bool(option.tip)
    assert set(option.engines) <= ENGINES
    if option.kind in ("integer", "number"):
        assert option.high < float("inf") and option.low <= option.default <= option.high
    if option.kind != "matte":
        assert option.parse(option.text(option.default)) == option.default
        assert option.check(option.default) == option.default


def test_every_option_is_on_the_command_line():
    parser = argparse.ArgumentParser()
    add_job_options(parser)
    words = parser.format_help()
    assert all(f"  {flag_of(option)}" in words for option in OPTIONS.values())
    assert all(f"--invert-{role}" in words for role in MATTE_OPTIONS)


def test_the_roles_of_mattes_are_those_of_the_fields():
    assert (*MATTE_ROLES, "quadmask") == MATTE_OPTIONS


@pytest.mark.parametrize("spec", [spec for spec in setting_specs() if spec.name in OPTIONS], ids=lambda spec: spec.name)
def test_a_panel_has_the_limits_of_the_job(spec):
    option = OPTIONS[spec.name]
    if spec.kind in ("integer", "number"):
        assert (spec.low, spec.high) == (option.low, min(option.high, INTEGER_MAX))
    assert (spec.values, spec.label, spec.tip, spec.kind) == (option.values, option.label, option.tip, option.kind)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"handles": -1}, "handles: got -1, expected 0 to 10000"),
        ({"steps": 1001}, "steps: got 1001, expected 1 to 1000"),
        ({"seed": 2**63}, "seed: got 9223372036854775808, expected 0 to 9223372036854775807"),
        ({"threshold": 1.0}, "threshold: got 1.0, expected a number between 0 and 1"),
        ({"threshold": float("nan")}, "threshold: got nan"),
        ({"guidance": 0.5}, "guidance: got 0.5, expected auto, or 1 to 100"),
        ({"feather": 1001}, "feather: got 1001, expected 0 to 1000 px"),
        ({"passes": "3"}, "passes: got '3', expected one of auto, 1, 2"),
        ({"grain": "on"}, "grain: got 'on', expected one of on, off"),
        ({"engine": ""}, "engine: got ''"),
        ({"canvas": "384"}, "canvas: got '384', expected HEIGHTxWIDTH"),
        ({"canvas": 384}, "canvas: got 384, expected text"),
        ({"steps": "30"}, "steps: got '30', expected 1 to 1000"),
        ({"steps": 2.7}, "steps: got 2.7, expected a whole number, 1 to 1000"),
        ({"steps": True}, "steps: got True, expected a whole number"),
        ({"steps": None}, "steps: got None, expected a whole number"),
        ({"feather": 1.5}, "feather: got 1.5, expected a whole number, 0 to 1000 px"),
        ({"threshold": "0.5"}, "threshold: got '0.5', expected a number between 0 and 1"),
        ({"guidance": True}, "guidance: got True, expected auto, or 1 to 100"),
        ({"grain": 1}, "grain: got 1, expected True or False"),
        ({"engine": 5}, "engine: got 5, expected one of auto, propagate, void"),
        ({"prompt": 5}, "prompt: got 5, expected text"),
        ({"prompt": None}, "prompt: got None, expected text"),
        ({"passes": 2}, "passes: got 2, expected one of auto, 1, 2"),
        ({"step_cache": "second-block"}, "step_cache: got 'second-block', expected one of off, first-block"),
        ({"attention": ""}, "attention: got ''"),
    ],
)
def test_a_job_outside_its_options_limits_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        job(**options)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("grain", "off", False),
        ("guidance", "auto", None),
        ("guidance", "2", 2.0),
        ("exposure", "-1.5", -1.5),
        ("exposure", "", None),
        ("canvas", "672x384", "384x672"),
        ("canvas", "384wx672h", "672x384"),
        ("engine", "acme", "acme"),
        ("attention", "sage", "sage"),
        ("seed", " 7 ", 7),
    ],
)
def test_text_becomes_a_value(name, text, value):
    assert OPTIONS[name].parse(text) == value


@pytest.mark.parametrize("exposure", ["1", True, 21, float("nan")])
def test_a_colour_outside_its_limits_is_refused(exposure):
    with pytest.raises(UsageError, match=r"exposure: got .*, expected auto, or -20 to 20 stops"):
        Colour("ACEScg", "", exposure=exposure)


def test_a_job_takes_whole_numbers_where_numbers_are_expected():
    assert job(guidance=2).guidance == 2


@pytest.mark.parametrize(("name", "text"), [("grain", "maybe"), ("steps", "1.5"), ("seed", "1e3"), ("passes", "both")])
def test_text_that_is_no_value_is_refused(name, text):
    with pytest.raises(UsageError, match=f"{name}: got '{text}', expected"):
        OPTIONS[name].parse(text)


def test_a_canvas_in_the_old_order_is_the_same_canvas(caplog):
    assert OPTIONS["canvas"].parse("384x672") == "384x672"
    assert "the old order" in caplog.text


def test_settings_keep_what_is_not_at_its_default():
    settings = settings_from({"steps": 30, "seed": 3, "engine": "acme", "folder": "/out"})
    assert dict(settings.job) == {"seed": 3, "engine": "acme"}
    assert settings == Settings(folder="/out", job={"seed": 3, "engine": "acme"})
    assert settings.values()["steps"] == 30 and settings["engine"] == "acme"
    assert settings_from(settings.values()) == settings
    assert settings.replace(seed=0, where="farm") == Settings(folder="/out", where="farm", job={"engine": "acme"})


def test_a_panel_offers_the_transports_and_priorities_of_the_configuration():
    specs, config = {spec.name: spec for spec in setting_specs()}, get_type_hints(Config)
    assert specs["transport"].values == get_args(config["transport"]) == TRANSPORTS
    assert specs["priority"].default == Config().priority == PRIORITY


def test_the_pages_are_those_that_make_docs_writes():
    assert PAGE.read_text(encoding="utf-8") == options_page()
    assert LUA_LIST.search(LUA.read_text(encoding="utf-8"))[0] == lua_list()
    section = JOB_ROWS.search(PROTOCOL.read_text(encoding="utf-8"))[0]
    assert section == protocol_rows(section)
