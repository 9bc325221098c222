"""Findings of `void-bridge doctor` about the machine, the folders and the server, with real faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.support.client_jobs import config_for
from tests.support.live_server import ServerProcess, running, settings
from void_bridge.cli import doctor
from void_bridge.cli.findings import Finding, folders, machine, python, run_check, server
from void_bridge.cli.main import main
from void_bridge.client import connector
from void_bridge.config import Config
from void_bridge.connection import Connection, connection_path, write_connection

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are not looked at on Windows")
needs_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a file away needs root")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Hide all settings and installations of void-bridge on this machine."""
    folders = {"HOME": tmp_path, "PATH": tmp_path / "no-programs", "VOID_BRIDGE_SITE_CONFIG": tmp_path / "none.toml"}
    for name in ("CONFIG", "DATA", "STATE", "RUNTIME"):
        folders[f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}"] = tmp_path / name.lower()
    for name in ("OCIO", "NUKE_PATH", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path


def found(findings, name):
    """Return the only finding of a name."""
    (one,) = (finding for finding in findings if finding.name == name)
    return one


def findings_by_name(capsys):
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}


def test_a_sound_machine_has_no_bad_finding(home, capsys):
    assert main(["doctor", "--json"]) == 0
    findings = findings_by_name(capsys)
    assert {finding["state"] for finding in findings.values()} <= {"ok", "note"}
    expected = {"python", "packages", "server", "cores", "memory", "spool", "disk", "clock", "colour", "runtime"}
    expected |= {"leftovers", "keys", "paths", "answer", "farm", "gpu", "torch", "models", "port", "nuke", "resolve"}
    assert expected <= set(findings)
    assert [path.name for path in home.iterdir()] == [], "it leaves nothing behind"


def test_a_bad_finding_fails_the_doctor_and_has_a_fix(home, capsys, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_EXECUTABLE", "/nowhere/python")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("bad"))
    assert lines[at].startswith("bad   executable   /nowhere/python, set to start local servers, is not a program")
    assert lines[at + 1].lstrip().startswith("-> set VOID_BRIDGE_EXECUTABLE")


def test_a_configuration_that_cannot_be_read_is_one_finding(home, capsys, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_WORKERS", "0")
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [one["name"] for one in findings if one["state"] == "bad"] == ["config"]
    assert "workers" in found([Finding(**one) for one in findings], "config").detail
    assert {"python", "gpu", "nuke"} <= {one["name"] for one in findings}


def test_findings_can_be_collected_without_the_command(home):
    findings = doctor.collect_findings(Config().replace(executable="/nowhere"))
    assert found(findings, "executable").state == "bad" and found(findings, "spool").state == "ok"
    assert found(doctor.collect_findings(), "port").state == "ok"


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (OSError(5, "Input/output error", "/mnt/x"), "bad", "/mnt/x: Input/output error"),
        (ValueError("what"), "note", "cannot be checked: ValueError: what"),
        (ModuleNotFoundError("No module named 'psutil'", name="psutil"), "note", "cannot be checked: No module named"),
    ],
)
def test_a_check_that_fails_is_a_finding_and_keeps_earlier_ones(error, state, words):
    def look():
        yield Finding("first", "ok", "")
        raise error

    first, finding = run_check("it", look)
    assert first.name == "first" and (finding.name, finding.state) == ("it", state) and finding.detail.startswith(words)
    assert ("void-bridge[server]" in finding.fix) == isinstance(error, ImportError)


# Python and its packages


@pytest.mark.parametrize(
    ("version", "bits", "state", "fix"),
    [
        ((3, 11, 7), 64, "ok", ""),
        ((3, 9, 2), 64, "note", "a server needs Python 3.11 or later; clients run on this one"),
        ((3, 14, 0), 64, "note", "tested up to Python 3.13: if a package has no wheel for this version, use 3.13"),
        ((3, 11, 7), 32, "bad", "install a 64-bit Python: a server's packages need it"),
    ],
)
def test_an_unsupported_python_is_reported(version, bits, state, fix):
    finding = python.python_finding(version, bits)
    assert (finding.state, finding.fix) == (state, fix)
    assert ("virtual environment " + sys.prefix in finding.detail) == (sys.prefix != sys.base_prefix)


def test_missing_packages_are_named(monkeypatch):
    lacking = (*python._SERVER, ("no_such_module", "no-such-package"))
    monkeypatch.setattr(python, "_SERVER", lacking)
    finding = found(python.python_findings(), "server")
    assert (finding.state, finding.detail) == ("note", "missing no-such-package")
    assert finding.fix == "install void-bridge[server]"


BROKEN = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"


@pytest.mark.parametrize(
    ("module", "text", "words", "fix"),
    [
        ("cv2", BROKEN, "opencv-python-headless does not load: ImportError: libGL.so.1", "pip uninstall opencv-python"),
        (
            "av",
            "import os; os._exit(132)",
            "av does not load: its process ended with exit code 132",
            "--force-reinstall av",
        ),
    ],
)
def test_an_installed_package_that_cannot_be_imported_is_found(tmp_path, monkeypatch, module, text, words, fix):
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = found(python.python_findings(), "server")
    assert finding.state == "bad" and finding.detail.startswith(words) and fix in finding.fix


def test_a_configured_python_that_exists_is_ok(home):
    finding = found(machine.machine_findings(Config(executable=sys.executable)), "executable")
    assert finding == Finding("executable", "ok", sys.executable)


def test_little_free_memory_is_a_note(monkeypatch):
    monkeypatch.setattr(machine, "_MEMORY_GB", 1e6)
    finding = found(machine.machine_findings(Config()), "memory")
    assert finding.state == "note" and "close other programs" in finding.fix


def test_a_missing_ocio_config_is_bad(tmp_path):
    (finding,) = machine.colour_findings(Config(ocio=str(tmp_path / "none.ocio")))
    assert finding.state == "bad" and "none.ocio" in finding.detail and "VOID_BRIDGE_OCIO" in finding.fix


# The folder of connection files, and what is in it


def runtime(config):
    (finding,) = folders.runtime_findings(config)
    return finding


def test_a_runtime_folder_of_this_user_is_ok(tmp_path):
    config = config_for(tmp_path)
    assert runtime(config) == Finding("runtime", "ok", f"{config.runtime_dir}, created when it is needed")
    config.runtime_dir.mkdir(mode=0o700)
    assert runtime(config) == Finding("runtime", "ok", f"{config.runtime_dir}, readable by this user only")


@posix
def test_a_runtime_folder_that_others_can_enter_is_a_note(tmp_path):
    config = config_for(tmp_path)
    config.runtime_dir.mkdir()
    config.runtime_dir.chmod(0o755)
    finding = runtime(config)
    assert finding.state == "note" and finding.fix.startswith(f"chmod 700 {config.runtime_dir}")


@posix
def test_a_runtime_folder_that_is_a_link_is_bad(tmp_path):
    config = config_for(tmp_path)
    config.runtime_dir.symlink_to(tmp_path)
    finding = runtime(config)
    assert (
        finding.state == "bad"
        and "is a link" in finding.detail
        and finding.fix.startswith("set VOID_BRIDGE_RUNTIME_DIR")
    )


@needs_root
def test_a_runtime_folder_of_another_user_is_bad(tmp_path):
    config = config_for(tmp_path)
    config.runtime_dir.mkdir()
    os.chown(config.runtime_dir, 61001, 61001)
    assert runtime(config).state == "bad" and "belongs to another user (61001)" in runtime(config).detail


@posix
def test_a_runtime_folder_that_others_can_replace_is_bad(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    finding = runtime(config_for(tmp_path / "open"))
    assert finding.state == "bad" and f"because {tmp_path / 'open'} is writable for all" in finding.detail


def connection(pid, port=5570):
    return Connection(f"tcp://127.0.0.1:{port}", "s" * 40, "c" * 40, "k" * 40, pid, "an-installation", "0.1.0")


@pytest.fixture
def ended():
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@posix
def test_a_connection_file_of_an_ended_server_is_a_note(tmp_path, ended):
    config = config_for(tmp_path)
    path = connection_path(config.runtime_dir)
    write_connection(path, connection(ended))
    finding = found(server.leftover_findings(config), "leftovers")
    assert (finding.state, finding.detail) == ("note", f"{path} belongs to a server that has ended (process {ended})")
    assert finding.fix.startswith(f"rm {path}")
    assert found(server.server_findings(config), "answer").state == "ok"


def test_a_process_id_that_was_reused_counts_as_ended(tmp_path):
    config = config_for(tmp_path)
    path = connection_path(config.runtime_dir)
    write_connection(path, connection(os.getpid()))
    assert found(server.leftover_findings(config), "leftovers").state == "ok"
    long_ago = psutil.Process().create_time() - 3600
    os.utime(path, (long_ago, long_ago))
    assert found(server.leftover_findings(config), "leftovers").state == "note"


@posix
def test_a_connection_file_that_others_can_read_is_bad(tmp_path):
    config = config_for(tmp_path)
    path = connection_path(config.runtime_dir)
    write_connection(path, connection(os.getpid()))
    path.chmod(0o644)
    finding = found(server.leftover_findings(config), "leftovers")
    assert finding.state == "bad" and "can be read by others" in finding.detail and finding.fix == f"rm {path}"


def test_mapped_paths_and_roots_that_do_not_exist_are_notes(tmp_path):
    config = config_for(
        tmp_path, path_map=(f"P:\\={tmp_path}", "no equals sign", "Q:\\=/nowhere"), roots=("/nor/this",)
    )
    bad, mapped, root = folders.path_findings(config)
    assert bad.state == "bad" and "expected FROM=TO" in bad.detail and "correct path_map" in bad.fix
    assert mapped.state == "note" and "/nowhere does not exist" in mapped.detail
    assert root.state == "note" and "root /nor/this does not exist" in root.detail and "correct roots" in root.fix
    (well,) = folders.path_findings(config_for(tmp_path, path_map=(f"P:\\={tmp_path}",)))
    assert well == Finding("paths", "ok", "1 mapped, 0 roots")


# The server


def test_a_server_that_answers_is_ok(tmp_path):
    with running(settings(tmp_path)):
        finding = found(server.server_findings(config_for(tmp_path)), "answer")
    assert finding.state == "ok" and "engines scripted, propagate" in finding.detail


@posix
def test_a_server_that_hangs_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(connector, "_LOCAL_ANSWER_S", 0.3)
    with ServerProcess(settings(tmp_path)) as process:
        os.kill(process.process.pid, signal.SIGSTOP)
        finding = found(server.server_findings(config_for(tmp_path)), "answer")
        os.kill(process.process.pid, signal.SIGCONT)
    assert finding.state == "bad" and "no answer from" in finding.detail
    assert f"end process {process.process.pid}" in finding.fix


def test_an_address_without_a_server_is_bad(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        url = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        finding = found(server.server_findings(config_for(tmp_path, connect=url)), "answer")
    assert (finding.state, finding.detail) == (
        "bad",
        f"{url}: Connection refused",
    ) and "start void-bridge serve" in finding.fix


def test_an_address_without_keys_is_bad(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        config = config_for(tmp_path, connect=url, keys=tmp_path / "none")
        finding = found(server.server_findings(config), "answer")
    assert finding.state == "bad" and "no keys for other servers" in finding.detail


def test_an_invalid_address_is_bad(tmp_path):
    finding = found(server.server_findings(config_for(tmp_path, connect="tcp://gpu1:port", keys=tmp_path)), "answer")
    assert finding.state == "bad" and finding.fix
