"""Values that all hosts share: settings, states, versions, jobs, messages."""

from __future__ import annotations

import os
import threading

import pytest

from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import config_of
from host_plugins.control.request import Order, ShotRequest, make_job, prompt_hint
from host_plugins.control.settings import Settings, setting_specs, settings_from
from host_plugins.control.state import TILE_COLOURS, JobState
from host_plugins.control.versions import new_version, safe_name
from void_bridge import errors
from void_bridge.errors import ColourError, InputError, OutputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource

SHOT = ShotRequest(
    "/shots/plate.####.exr",
    FrameRange.parse("1001-1004"),
    "scene_linear",
    "ocio://studio",
    {"remove": MatteSource("/shots/roto.####.exr", "void_bridge.remove")},
)


def test_the_defaults_of_a_panel_make_the_job_that_the_command_line_makes():
    job = make_job(Settings(), SHOT, "/out/clean.####.exr")
    plain = Job(
        SHOT.plate, SHOT.frames, "/out/clean.####.exr", Colour("scene_linear", "ocio://studio"), SHOT.mattes["remove"]
    )
    assert job == plain


def test_every_setting_has_a_label_and_a_tip():
    for spec in setting_specs():
        assert spec.label and spec.tip.endswith((".", "'.")) and spec.group, spec.name
        assert Settings()[spec.name] == spec.default
        assert not spec.choices or spec.default in spec.values


def test_settings_reach_the_job():
    settings = settings_from(
        {
            "prompt": " an empty\n sofa ",
            "seed": 7,
            "exposure": "-1.5",
            "colorspace": "ACEScg",
            "grain": False,
            "steps": 12,
        }
    )
    job = make_job(settings, SHOT, "/out/clean.####.exr")
    assert (job.prompt, job.seed, job.grain, job.steps) == ("an empty sofa", 7, False, 12)
    assert job.colour == Colour("ACEScg", "ocio://studio", exposure=-1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, "did you mean 'seed'"),
        ({"seed": -1}, "seed: got -1, expected 0 to"),
        ({"passes": "3"}, "passes: got '3', expected one of auto, 1, 2"),
        ({"handles": "many"}, "handles: got 'many', expected 0 to 10000"),
        ({"seed": 2**31}, "seed: got 2147483648, expected 0 to 2147483647"),
        ({"engine": ""}, "engine: got ''"),
        ({"steps": 2.7}, "steps: got 2.7, expected a whole number, 1 to 1000"),
        ({"steps": True}, "steps: got True, expected a whole number"),
        ({"grain": 5}, "grain: got 5, expected True or False"),
        ({"prompt": 5}, "Scene after removal: got 5, expected text"),
        ({"canvas": 384}, "canvas: got 384, expected text"),
        ({"exposure": 21.0}, "exposure: got 21.0, expected auto, or -20 to 20 stops"),
        ({"passes": 2}, "passes: got 2, expected one of auto, 1, 2"),
    ],
)
def test_a_wrong_setting_is_named(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(values)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("steps", 4.0, 4),
        ("steps", "4", 4),
        ("seed", " 7 ", 7),
        ("grain", 0, False),
        ("grain", 1.0, True),
        ("exposure", -1.5, "-1.5"),
        ("prompt", None, ""),
        ("canvas", None, "672x384"),
        ("steps", None, 30),
    ],
)
def test_the_values_that_hosts_give_become_those_of_settings(name, value, expected):
    found = settings_from({name: value})[name]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("settings", "shot", "error", "message"),
    [
        (Settings(), ShotRequest(SHOT.plate, SHOT.frames, "x", "ocio://studio"), UsageError, "nothing to remove"),
        (
            settings_from({"exposure": "bright"}),
            SHOT,
            UsageError,
            "exposure: got 'bright', expected auto, or -20 to 20",
        ),
        (settings_from({"exposure": "21"}), SHOT, UsageError, "expected auto, or -20 to 20 stops"),
        (settings_from({"canvas": "big"}), SHOT, UsageError, "canvas: got 'big', expected WIDTHxHEIGHT"),
        (
            Settings(),
            ShotRequest(SHOT.plate, SHOT.frames, "", "", SHOT.mattes),
            ColourError,
            "colour space is unknown",
        ),
    ],
)
def test_a_job_that_cannot_be_made_says_why(settings, shot, error, message):
    with pytest.raises(error, match=message):
        make_job(settings, shot, "/out/clean.####.exr")


def test_a_server_is_started_only_for_an_artist(monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "true")
    assert config_of(Settings(), interactive=True).autostart
    assert not config_of(Settings(), interactive=False).autostart
    assert not config_of(Settings(autostart=False), interactive=True).autostart


def test_where_a_job_runs_is_what_the_panel_says(monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_CONNECT", "tcp://gpu1:5570")
    assert config_of(Settings(), interactive=True).connect == ""
    assert config_of(Settings(where="server"), interactive=True).connect == "tcp://gpu1:5570"
    assert config_of(Settings(where="server", address="tcp://gpu2:1"), interactive=True).connect == "tcp://gpu2:1"


def test_orders_have_numbers_of_their_own():
    job = make_job(Settings(), SHOT, "/out/clean.####.exr")
    assert Order(job, Settings()).id != Order(job, Settings()).id


@pytest.mark.parametrize("prompt", ["remove the man", "a street without cars", "Erase her", "the dog is deleted"])
def test_a_prompt_that_commands_gets_a_hint(prompt):
    assert "describe the scene after the removal" in prompt_hint(prompt)


@pytest.mark.parametrize("prompt", ["", "an empty sofa", "a remote beach, nobody there"])
def test_a_prompt_that_describes_gets_none(prompt):
    assert prompt_hint(prompt) == ""


def test_a_state_survives_a_text_knob():
    state = JobState("abc", "running", 'says "7 of 9" äöü', "/o/c.####.exr", "1001-1009", "1001-1007", "", ("a", "b"))
    assert JobState.from_text(state.to_text()) == state
    assert state.to_text().isascii() and "\n" not in state.to_text()
    assert JobState.from_text("  ") == JobState()


@pytest.mark.parametrize("text", ["{", "[1]", '{"phase": "dancing"}', '{"id": 7}'])
def test_a_text_that_is_no_state_is_refused(text):
    with pytest.raises(InputError):
        JobState.from_text(text)


def test_jobs_that_have_not_ended_are_alive():
    alive = {phase for phase in TILE_COLOURS if JobState("abc", phase).is_alive}
    assert alive == {"none", "sending", "queued", "running", "handed_over", "lost"}
    assert not JobState("", "running").is_alive


def test_versions_count_on_from_the_highest(tmp_path):
    (tmp_path / "sh010_v007").mkdir()
    (tmp_path / "sh010b_v100").mkdir()
    (tmp_path / "sh010_v1x").mkdir()
    version = new_version(tmp_path, "sh010")
    assert version.folder == tmp_path / "sh010_v008"
    assert version.pattern == f"{tmp_path.as_posix()}/sh010_v008/sh010_v008.####.exr"


def test_two_calls_at_once_get_two_versions(tmp_path):
    names = []
    threads = [
        threading.Thread(target=lambda: names.append(new_version(tmp_path / "void", "a").name)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [f"a_v{number:03d}" for number in range(1, 9)]


def test_an_abandoned_version_is_removed_unless_it_holds_a_file(tmp_path):
    empty, used = new_version(tmp_path, "a"), new_version(tmp_path, "a")
    (used.folder / "frame").touch()
    empty.abandon()
    used.abandon()
    assert not empty.folder.exists() and used.folder.exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [("sh010 comp/v3", "sh010_comp_v3"), ("Ménage.Void1", "Ménage.Void1"), ("../..", "shot"), ("", "shot")],
)
def test_names_of_nodes_become_names_of_files(text, name):
    assert safe_name(text) == name


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=str(tmp_path)):
        new_version(tmp_path / "void", "a")


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "void").touch()
    with pytest.raises(OutputError, match="void"):
        new_version(tmp_path / "void", "a")


def test_messages_for_artists_name_no_options():
    text = artist_message(errors.MissingFrames("missing 1005 of 1001-1005 in p: render them or give other --frames"))
    assert text == "Frames are missing on disk: missing 1005 of 1001-1005 in p: render them or set another frame range"
    for cls in errors.error_classes().values():
        text = artist_message(
            cls("x; choose another place with -o, or give --overwrite, or --colorspace; see --no-autostart")
        )
        assert "--" not in text and " -o" not in text


def test_an_unexpected_error_is_named():
    assert artist_message(KeyError("x")).startswith("Unexpected error: KeyError")
