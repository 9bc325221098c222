from __future__ import annotations

import argparse
import json
from importlib.metadata import EntryPoint

import pytest

import void_bridge
from void_bridge.cli import main as module
from void_bridge.cli.command import Command
from void_bridge.cli.console import say
from void_bridge.cli.main import main
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import DiskFull

DESIGNED = (
    "remove submit status watch cancel fetch jobs free top ingest quadmask compare"
    " keys config doctor demo serve bench models"
)


def raising(error):
    def run(arguments):
        raise error

    return Command("try", "raise something", lambda parser: parser.add_argument("--json", action="store_true"), run)


@pytest.fixture
def command(monkeypatch):
    """Return a function that makes `void-bridge try` raise an error."""

    def install(error):
        monkeypatch.setitem(globals(), "COMMAND", raising(error))
        monkeypatch.setattr(
            module, "find_entry_points", lambda group: {"try": EntryPoint("try", f"{__name__}:COMMAND", module.GROUP)}
        )

    return install


def test_every_command_of_the_design_is_there(capsys):
    assert main(["--help"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert set(DESIGNED.split()) <= set(shown)


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"void-bridge {void_bridge.__version__}\n"


def test_a_call_without_a_command_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_an_unknown_command_is_refused_with_the_nearest(capsys):
    assert main(["fetsch", "x"]) == 2
    assert capsys.readouterr().err.startswith("void-bridge: unknown command 'fetsch'; did you mean 'fetch'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jobs", "--limits", "3"], "unknown option --limits; did you mean '--limit'?; see void-bridge jobs --help"),
        (["jobs", "--limits=3"], "unknown option --limits; did you mean '--limit'?; see void-bridge jobs --help"),
        (["jobs", "--xyz"], "unknown option --xyz; see void-bridge jobs --help"),
        (
            ["config", "show", "--jsn"],
            "unknown option --jsn; did you mean '--json'?; see void-bridge config show --help",
        ),
        (["jobs", "7"], "unrecognized arguments: 7; see void-bridge --help"),
        (
            ["keys", "alow"],
            "argument new|list|allow|revoke: got 'alow', expected one of new, list, allow, revoke; "
            "did you mean 'allow'?; see void-bridge keys --help",
        ),
    ],
)
def test_a_misspelt_word_is_one_line_with_the_nearest(words, message, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"void-bridge: {message}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "x", "-o", "w.mp4", "--exposure", "nan"], "got 'nan', expected a number from -32 to 32"),
        (["compare", "x", "-o", "w.mp4", "--exposure", "inf"], "got 'inf', expected a number from -32 to 32"),
        (["compare", "x", "-o", "w.mp4", "--width", "9"], "got '9', expected a whole number 64 or more"),
        (["jobs", "--limit", "0"], "got '0', expected a whole number from 1 to 1000"),
        (["top", "--limit", "-1"], "got '-1', expected a whole number from 1 to 1000"),
        (["demo", "--length", "0"], "got '0', expected a whole number 1 or more"),
        (["demo", "--length", "-3"], "got '-3', expected a whole number 1 or more"),
        (["demo", "--size", "10x10"], "got size 10x10, expected from 32x32 to 8192x8192"),
    ],
)
def test_a_number_out_of_its_limits_is_refused_with_them(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("address", ["foo", "tcp://", "127.0.0.1:5570", "tcp://127.0.0.1:99999", "tcp://gpu1:0"])
def test_an_address_that_is_no_url_of_a_server_is_refused(address, capsys):
    assert main(["jobs", "--connect", address]) == 2
    assert f"cannot connect to {address!r}; expected tcp://HOST:PORT" in capsys.readouterr().err


def leaves(parser):
    """Return the parsers of all commands and actions by their words."""
    actions = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not actions:
        return {parser.prog: parser}
    return {prog: leaf for each in actions for child in each.choices.values() for prog, leaf in leaves(child).items()}


def test_every_command_that_ends_has_json():
    parsers = leaves(module.command_parser(list(find_entry_points(module.GROUP).values()), skip_missing=False))
    without = {prog for prog, parser in parsers.items() if "--json" not in parser._option_string_actions}
    assert without == {"void-bridge serve"}


def test_every_option_has_a_help_without_a_full_stop():
    parsers = leaves(module.command_parser(list(find_entry_points(module.GROUP).values()), skip_missing=False))
    texts = [action.help for parser in parsers.values() for action in parser._actions if action.help]
    assert not [text for text in texts if text.endswith(".")]
    assert all(action.help for parser in parsers.values() for action in parser._actions if action.option_strings)


def test_a_help_shows_a_short_usage_and_examples(capsys):
    assert main(["compare", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "usage: void-bridge compare JOB --output MOVIE [OPTIONS]\n\nWrite a movie of a job's frames"
    )
    assert shown.endswith("\n  void-bridge compare demo_out/clean/job.json -o before_after.mp4\n")
    assert "Examples (after void-bridge demo --out demo_out):" in shown


def test_an_error_is_one_line_with_its_exit_code(command, capsys):
    command(DiskFull("no space left\nfor it"))
    assert main(["try"]) == 1
    assert capsys.readouterr() == ("", "void-bridge: no space left for it\n")


def test_text_of_a_server_does_not_move_the_cursor(command, capsys):
    command(DiskFull("no \x1b[2Jspace"))
    assert main(["try"]) == 1
    assert capsys.readouterr().err == "void-bridge: no \ufffd[2Jspace\n"
    say("one\x1b\ntwo")
    assert capsys.readouterr().err == "one\ufffd\ntwo\n"


def test_an_error_is_in_the_json_too(command, capsys):
    command(DiskFull("no space left"))
    main(["try", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["error"]) == ("failed", {"code": "disk_full", "message": "no space left"})


def test_a_defect_is_one_line_that_names_the_debug_variable(command, capsys, monkeypatch):
    monkeypatch.delenv("VOID_BRIDGE_DEBUG", raising=False)
    command(ZeroDivisionError("division by zero"))
    assert main(["try", "--json"]) == 1
    out, err = capsys.readouterr()
    advice = "this is a bug: set VOID_BRIDGE_DEBUG=1 to see the traceback"
    assert err == f"void-bridge: ZeroDivisionError: division by zero; {advice}\n"
    assert json.loads(out)["error"]["code"] == "internal"


def test_debug_shows_the_traceback(command, capsys, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_DEBUG", "1")
    command(ZeroDivisionError("division by zero"))
    assert main(["try"]) == 1
    assert "in run" in capsys.readouterr().err


def test_an_interrupt_counts_as_cancelled(command, capsys):
    command(KeyboardInterrupt())
    assert main(["try", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"


def test_a_command_whose_package_is_missing_says_what_to_install(monkeypatch, capsys):
    entry = EntryPoint("try", "a_package_that_is_missing:COMMAND", module.GROUP)
    monkeypatch.setattr(module, "find_entry_points", lambda group: {"try": entry})
    assert main(["try"]) == 2
    assert "try needs a_package_that_is_missing" in capsys.readouterr().err


def test_config_show_says_where_values_come_from(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("VOID_BRIDGE_SITE_CONFIG", str(tmp_path / "site.toml"))
    monkeypatch.setenv("VOID_BRIDGE_CONFIG", str(tmp_path / "user.toml"))
    monkeypatch.setenv("VOID_BRIDGE_WORKERS", "3")
    (tmp_path / "site.toml").write_text('priority = 7\nlocked = ["priority"]')
    assert main(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("workers")).split() == ["workers", "3", "VOID_BRIDGE_WORKERS"]
    assert next(line for line in lines if line.startswith("priority")).endswith(
        f"site file {tmp_path}/site.toml, locked"
    )
    assert f"user file: {tmp_path / 'user.toml'} (not there)" in lines
    assert main(["config", "show", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["priority"] == {"value": 7, "source": f"site file {tmp_path}/site.toml", "locked": True}


def test_keys_new_makes_pairs_that_others_cannot_read(capsys, tmp_path):
    folder = tmp_path / "keys"
    assert main(["keys", "new", "--server", "--name", "anna", "--keys", str(folder)]) == 0
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.key*")} == {
        "client.key",
        "client.key_secret",
        "server.key",
        "server.key_secret",
        "clients/anna.key",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.key_secret"))
    before = (folder / "client.key_secret").read_bytes()
    assert main(["keys", "new", "--keys", str(folder)]) == 0
    assert (folder / "client.key_secret").read_bytes() == before
    (folder / "client.key_secret").chmod(0o644)
    assert main(["keys", "new", "--keys", str(folder)]) == 2


def test_top_needs_a_terminal(capsys):
    assert main(["top"]) == 2
    assert "use void-bridge jobs" in capsys.readouterr().err
