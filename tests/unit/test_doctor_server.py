"""The findings of `void-bridge doctor` about ports, the allow-list, the spool's files, weights and the farm."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.findings import models
from gpu_server.findings.models import model_findings
from gpu_server.findings.ports import port_findings
from gpu_server.findings.spool_files import spool_file_findings
from host_plugins.farm.findings import farm_findings
from tests.support.client_jobs import config_for
from tests.support.full_disk import small_disk
from tests.support.live_server import running, settings
from void_bridge.cli.findings import Finding
from void_bridge.cli.keys import allow, make_pair

needs_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a file away needs root")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc says who holds a lock")


def found(findings, name):
    (one,) = (finding for finding in findings if finding.name == name)
    return one


def port_of(tmp_path, **changes):
    return found(port_findings(config_for(tmp_path, **changes)), "port")


@pytest.fixture
def pair():
    """Return the first of two free ports that follow each other, as a server takes them."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port


# Ports


def test_any_port_and_a_free_port_are_in_order(tmp_path, pair):
    assert port_of(tmp_path) == Finding("port", "ok", "127.0.0.1:* is free")
    assert port_of(tmp_path, bind=f"tcp://127.0.0.1:{pair}") == Finding("port", "ok", f"127.0.0.1:{pair} is free")


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_of_another_program_is_bad(tmp_path, pair, which):
    """The port after the one that is named counts too: frames go over it."""
    with socket.create_server(("127.0.0.1", pair + which)):
        finding = port_of(tmp_path, bind=f"tcp://127.0.0.1:{pair}")
    assert finding.state == "bad" and finding.detail.startswith(f"127.0.0.1:{pair + which}: Address already in use")
    assert f"process {os.getpid()}" in finding.detail
    assert finding.fix == "end the program that listens on it, or set VOID_BRIDGE_BIND to another port"


def test_a_port_of_our_own_server_is_in_order(tmp_path, pair):
    bind = f"tcp://127.0.0.1:{pair}"
    with running(settings(tmp_path, bind=bind)):
        finding = port_of(tmp_path, bind=bind)
    assert (finding.state, finding.detail) == (
        "ok",
        f"127.0.0.1:{pair}: our own server listens on it, process {os.getpid()}",
    )


def test_an_address_of_another_machine_is_bad(tmp_path):
    finding = port_of(tmp_path, bind="tcp://192.0.2.1:5570", keys=tmp_path)  # documentation's own network, RFC 5737
    assert finding.state == "bad" and "Cannot assign requested address" in finding.detail
    assert "an address of this machine" in finding.fix


def test_an_unreadable_bind_is_bad(tmp_path):
    finding = port_of(tmp_path, bind="udp://127.0.0.1:5570")
    assert finding.state == "bad" and "expected tcp://HOST:PORT" in finding.detail and "correct bind" in finding.fix


def test_a_metrics_port_in_use_is_bad(tmp_path, pair):
    config = config_for(tmp_path)
    if not hasattr(config, "metrics_port"):
        pytest.skip("this version has no metrics port")
    config = config.replace(metrics_port=pair)
    assert found(port_findings(config), "metrics port").state == "ok"
    with socket.create_server(("127.0.0.1", pair)):
        finding = found(port_findings(config), "metrics port")
    assert finding.state == "bad" and "VOID_BRIDGE_METRICS_PORT" in finding.fix
    assert [one.name for one in port_findings(config.replace(metrics_port=0))] == ["port"]


# Who may come in


def list_of(tmp_path):
    config = config_for(tmp_path, bind="tcp://0.0.0.0:*", keys=tmp_path / "keys")
    return found(port_findings(config), "allow-list")


def test_an_open_address_needs_keys_and_clients(tmp_path):
    finding = list_of(tmp_path)
    assert finding.state == "bad" and finding.fix.startswith("void-bridge keys new --server")
    make_pair(tmp_path / "keys", "server")
    finding = list_of(tmp_path)
    assert finding.state == "bad" and "the allow-list is empty" in finding.detail
    assert finding.fix.startswith("run void-bridge keys allow NAME FILE")
    make_pair(tmp_path / "keys", "client")
    allow(tmp_path / "keys", "anna")
    assert list_of(tmp_path) == Finding("allow-list", "ok", "1 may connect: anna")


@pytest.mark.skipif(sys.platform == "win32", reason="modes are not looked at on Windows")
def test_a_list_that_others_can_change_is_bad(tmp_path):
    for name in ("server", "client"):
        make_pair(tmp_path / "keys", name)
    allow(tmp_path / "keys", "anna")
    (tmp_path / "keys" / "clients" / "anna.key").chmod(0o666)
    finding = list_of(tmp_path)
    assert finding.state == "bad" and "others can change" in finding.detail and "keys list" in finding.fix


def test_loopback_needs_no_list(tmp_path):
    assert [one.name for one in port_findings(config_for(tmp_path))] == ["port"]


# What is in the spool


def test_an_unused_spool_is_in_order(tmp_path):
    assert list(spool_file_findings(config_for(tmp_path))) == []
    (tmp_path / "spool").mkdir()
    (finding,) = spool_file_findings(config_for(tmp_path))
    assert finding == Finding("spool files", "ok", "owned by this user; no server uses the spool")


@needs_root
@pytest.mark.parametrize("name", ["jobs", "journal.sqlite", "lock"])
def test_files_of_another_user_in_the_spool_are_reported(tmp_path, name):
    (tmp_path / "spool" / name).mkdir(parents=True)
    os.chown(tmp_path / "spool" / name, 61001, 61001)
    (finding,) = spool_file_findings(config_for(tmp_path))
    assert finding.state == "bad" and finding.detail.startswith(
        f"{tmp_path / 'spool' / name} belongs to another user (61001)"
    )
    assert f"rm -r {tmp_path / 'spool' / name}" in finding.fix


@linux
def test_the_local_server_may_hold_the_lock(tmp_path):
    with running(settings(tmp_path)):
        (finding,) = spool_file_findings(config_for(tmp_path))
    assert finding == Finding("spool files", "ok", f"in use by the local server, process {os.getpid()}")
    (finding,) = spool_file_findings(config_for(tmp_path))
    assert finding.detail == "owned by this user; no server uses the spool"


HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


@linux
def test_a_lock_held_by_a_process_that_clients_cannot_find_is_reported(tmp_path):
    (tmp_path / "spool").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "spool" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        (finding,) = spool_file_findings(config_for(tmp_path))
        holder.communicate("\n")
    assert finding.state == "bad" and finding.detail.startswith(
        f"process {holder.pid} uses the spool, and no connection file"
    )
    assert f"end process {holder.pid}" in finding.fix and "XDG_RUNTIME_DIR" in finding.fix
    assert found(spool_file_findings(config_for(tmp_path)), "spool files").state == "ok"


# Weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "models"
    write_tiny(folder)
    return folder


@pytest.fixture
def own(whole, tmp_path):
    """Make links to the weights for one test, to be removed or spoilt one by one."""
    for path in whole.rglob("*"):
        target = tmp_path / "models" / path.relative_to(whole)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return tmp_path / "models"


def models_of(tmp_path, folder):
    return list(model_findings(config_for(tmp_path, models=folder)))


def test_whole_weights_are_in_order(tmp_path, whole):
    (finding,) = models_of(tmp_path, whole)
    assert (finding.state, finding.detail.split(",")[0]) == ("ok", f"{whole}: both passes complete")


def test_no_weights_is_no_fault(tmp_path):
    finding = models_of(tmp_path, tmp_path / "none")[0]
    assert finding.state == "note" and finding.detail.startswith("the void engine has no weights")
    assert finding.fix == "void-bridge models fetch (32 GB)"


def test_pass_2_may_be_left_out(tmp_path, own):
    (own / "void_pass2.safetensors").unlink()
    finding = models_of(tmp_path, own)[0]
    assert finding.state == "note" and "pass 1 only" in finding.detail and finding.fix == "void-bridge models fetch"


def test_a_missing_part_is_noted(tmp_path, own):
    (own / "void_pass1.safetensors").unlink()
    finding = models_of(tmp_path, own)[0]
    assert finding.state == "note" and "lacks pass 1" in finding.detail and "; it has transformer, " in finding.detail


def test_a_stopped_download_is_bad(tmp_path, own):
    path = own / "void_pass1.safetensors"
    half = path.read_bytes()[:-1000]
    path.unlink()
    path.write_bytes(half)
    (finding,) = models_of(tmp_path, own)
    assert finding.state == "bad" and finding.detail.startswith(f"pass 1 in {own}: ") and "bytes" in finding.detail
    assert finding.fix.startswith("void-bridge models fetch, or get void_pass1.safetensors")


def test_too_little_room_for_missing_weights_is_noted(tmp_path):
    with small_disk(tmp_path / "small") as disk:
        _, room = models_of(tmp_path, disk / "models")
        assert list(disk.iterdir()) == []
    assert (
        room.state == "note"
        and f"the missing files need {models._ALL_GB:.1f} GB, and {disk} has 0.0 free" in room.detail
    )
    assert "free some space" in room.fix


# The farm


def farm_of(tmp_path, **changes):
    return list(farm_findings(config_for(tmp_path, **changes)))


def test_no_farm_is_in_order(tmp_path):
    (finding,) = farm_of(tmp_path)
    assert finding.state == "ok" and "no farm is configured" in finding.detail


def test_an_unknown_farm_is_reported_with_the_nearest(tmp_path):
    (finding,) = farm_of(tmp_path, farm="deadline11")
    assert finding.state == "bad" and "did you mean" in finding.detail and "correct farm" in finding.fix


@pytest.mark.parametrize(
    ("farm", "words"),
    [
        ("deadline10", "deadlinecommand is not on PATH"),
        ("deadline-cloud", "the client of Deadline Cloud, `deadline`, is not installed"),
        ("opencue", "needs pyoutline and pycue"),
        ("openjd", "needs openjd-cli"),
    ],
)
def test_a_farm_whose_client_is_missing_is_reported(tmp_path, monkeypatch, farm, words):
    from host_plugins.farm.backends import opencue, openjd

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEADLINE_PATH", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for module in (opencue, openjd):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    (finding,) = farm_of(tmp_path, farm=farm)
    assert (
        finding.state == "note" and finding.detail.startswith(f"{farm}: ") and words in finding.detail and finding.fix
    )


def test_a_farm_whose_client_is_there_is_in_order(tmp_path, monkeypatch):
    (tmp_path / "deadlinecommand").write_text("#!/bin/sh\n")
    (tmp_path / "deadlinecommand").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEADLINE_PATH", raising=False)
    (finding,) = farm_of(tmp_path, farm="deadline10")
    assert finding.state == "ok" and finding.detail.startswith("deadline10: Thinkbox Deadline 10")


def test_folders_for_workers_are_checked(tmp_path):
    (tmp_path / "seen").mkdir()
    roots = (str(tmp_path / "seen"), "/nowhere")
    finding = farm_of(tmp_path, farm_roots=roots, farm_scratch=str(tmp_path / "seen" / "scratch"))
    assert [(one.name, one.state) for one in finding] == [("farm", "ok"), ("farm", "note"), ("farm scratch", "ok")]
    assert "farm root /nowhere does not exist" in finding[1].detail and "correct farm_roots" in finding[1].fix
    outside = farm_of(tmp_path, farm_roots=roots, farm_scratch=str(tmp_path / "other"))[-1]
    assert outside.state == "bad" and "is outside the folders that the farm's workers see" in outside.detail
    relative = farm_of(tmp_path, farm_scratch="scratch")[-1]
    assert relative.state == "bad" and "is not an absolute path" in relative.detail
    assert list((tmp_path / "seen").iterdir()) == []


def test_a_scratch_folder_that_cannot_be_written_is_bad(tmp_path):
    with small_disk(tmp_path / "scratch", "1m", "ro") as folder:
        finding = farm_of(tmp_path, farm_scratch=str(folder))[-1]
    assert (
        finding.state == "bad"
        and "cannot make a folder in" in finding.detail
        and "VOID_BRIDGE_FARM_SCRATCH" in finding.fix
    )
