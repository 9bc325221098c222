from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from void_bridge.config import Config, as_environment, load
from void_bridge.errors import ConfigError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return the paths of a user file and a site file that the test may write."""
    monkeypatch.setenv("VOID_BRIDGE_CONFIG", str(tmp_path / "user.toml"))
    monkeypatch.setenv("VOID_BRIDGE_SITE_CONFIG", str(tmp_path / "site.toml"))
    return tmp_path / "user.toml", tmp_path / "site.toml"


def test_each_source_wins_over_the_ones_below(files, monkeypatch):
    user, site = files
    site.write_text("workers = 2\npriority = 2\nthreads = 2\nhang_s = 2")
    user.write_text("workers = 3\npriority = 3\nthreads = 3")
    monkeypatch.setenv("VOID_BRIDGE_PRIORITY", "4")
    monkeypatch.setenv("VOID_BRIDGE_WORKERS", "4")
    config, sources, _ = load({"workers": 5, "connect": None})
    assert (config.workers, config.priority, config.threads, config.hang_s) == (5, 4, 3, 2.0)
    assert sources["workers"] == "command line"
    assert sources["priority"] == "VOID_BRIDGE_PRIORITY"
    assert sources["threads"] == f"user file {user}"
    assert sources["hang_s"] == f"site file {site}"
    assert sources["connect"] == "default"


def test_every_value_has_a_source(files):
    assert set(load().sources) == {spec.name for spec in dataclasses.fields(Config)}


def test_overriding_a_locked_value_is_refused(files):
    user, site = files
    site.write_text('user = "ben"\nlocked = ["user"]')
    user.write_text('user = "anna"')
    with pytest.raises(
        ConfigError, match=rf"user is locked to 'ben' by the site file .*got 'anna' from user file {user}"
    ):
        load()


def test_setting_a_locked_value_to_the_same_value_is_allowed(files):
    user, site = files
    site.write_text('user = "ben"\nlocked = ["user"]')
    user.write_text('user = "ben"')
    loaded = load()
    assert (loaded.config.user, loaded.sources["user"]) == ("ben", f"site file {site}")


def test_a_key_may_be_locked_to_its_default(files):
    _, site = files
    site.write_text('locked = ["autostart"]')
    assert load({"autostart": True}).locked == {"autostart"}
    with pytest.raises(ConfigError, match="autostart is locked to 'True'"):
        load({"autostart": False})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spol = 1", "unknown key 'spol'; did you mean 'spool'"),
        ('locked = ["conect"]', "locked: unknown key 'conect'; did you mean 'connect'"),
        ("locked = true", "locked: got True, expected a list of keys"),
        ('workers = "two"', "workers: got str 'two', expected a whole number"),
        ("workers = 0", "got workers 0, expected 1 to 64"),
        ("spool = 3", "spool: got 3, expected a folder"),
        ('transport = "pigeon"', "transport: got 'pigeon', expected one of auto, inline, path"),
        ("workers = ", "as TOML"),
    ],
)
def test_a_bad_file_is_refused_and_named(files, text, message):
    _, site = files
    site.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert message in str(caught.value)
    assert str(site) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("VOID_BRIDGE_WORKER", "1", "unknown variable VOID_BRIDGE_WORKER; did you mean VOID_BRIDGE_WORKERS"),
        ("VOID_BRIDGE_WORKERS", "many", "VOID_BRIDGE_WORKERS: workers: got str 'many'"),
        ("VOID_BRIDGE_AUTOSTART", "maybe", "VOID_BRIDGE_AUTOSTART: autostart: got str 'maybe'"),
    ],
)
def test_a_bad_variable_is_refused_and_named(files, monkeypatch, variable, text, message):
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert message in str(caught.value)


def test_variables_of_other_tools_are_left_alone(files, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_FARM_TASK", "17")
    load()


def test_variables_hold_switches_and_lists(files, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "off")
    monkeypatch.setenv("VOID_BRIDGE_PATH_MAP", r"P:\=/projects; Q:\=/quick")
    config = load().config
    assert config.autostart is False
    assert config.path_map == (r"P:\=/projects", r"Q:\=/quick")


def test_folders_are_absolute_and_expand_home(files, tmp_path, monkeypatch):
    user, _ = files
    monkeypatch.setenv("HOME", str(tmp_path))
    user.write_text('spool = "~/spool"')
    assert load().config.spool == tmp_path / "spool"
    assert load({"models": "weights"}).config.models == Path.cwd() / "weights"


def test_default_folders_follow_xdg(files, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    config = load().config
    assert config.spool == tmp_path / "state" / "void-bridge" / "spool"
    assert config.runtime_dir == tmp_path / "run" / "void-bridge"


def test_a_child_process_gets_the_same_configuration(files, monkeypatch, tmp_path):
    config = load(
        {"spool": tmp_path, "workers": 3, "autostart": False, "roots": ["/a", "/b c"], "hang_s": 0.5 + 1}
    ).config
    for name, text in as_environment(config).items():
        monkeypatch.setenv(name, text)
    assert load().config == config
