from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

import void_bridge
from void_bridge.cli import main as module
from void_bridge.cli.command import Command
from void_bridge.cli.console import say
from void_bridge.cli.main import main
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


def test_an_unknown_option_is_one_line(capsys):
    assert main(["jobs", "--limits", "3"]) == 2
    assert capsys.readouterr().err == "void-bridge: unrecognized arguments: --limits 3; see void-bridge --help\n"


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
    told = "this is a bug: set VOID_BRIDGE_DEBUG=1 to see the traceback"
    assert err == f"void-bridge: ZeroDivisionError: division by zero; {told}\n"
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
