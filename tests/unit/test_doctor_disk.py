"""Findings of `void-bridge doctor` about the spool's disk."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time

import pytest

from tests.support.client_jobs import config_for
from tests.support.full_disk import StalledDisk, simulated, small_disk, take_room
from tests.support.live_server import eventually
from void_bridge.cli.findings import Finding, disk, folders, run_check
from void_bridge.config import Config

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are not looked at on Windows")


def found(findings, name):
    """Return the only finding of a name."""
    (one,) = (finding for finding in findings if finding.name == name)
    return one


def spool_of(config, name):
    return found(disk.spool_findings(config), name)


def test_a_trial_of_the_spool_leaves_no_files(tmp_path):
    spool = config_for(tmp_path).spool
    assert "created when it is needed" in spool_of(config_for(tmp_path), "spool").detail
    assert not spool.exists() and list(tmp_path.iterdir()) == []
    spool.mkdir()
    (spool / "blob").write_bytes(bytes(3_000_000))
    (kept, room) = (spool_of(config_for(tmp_path), name) for name in ("spool", "disk"))
    assert kept.state == "ok" and kept.detail.startswith(f"{spool}: can write")
    assert "the spool holds 0.0, limited to 50" in room.detail
    assert [path.name for path in spool.iterdir()] == ["blob"]


def test_a_spool_that_takes_long_to_count_is_no_stalled_disk(tmp_path, monkeypatch):
    (tmp_path / "spool" / "blobs").mkdir(parents=True)
    monkeypatch.setattr(disk, "_COUNT_S", -1.0)
    finding = spool_of(config_for(tmp_path, spool_limit_gb=1e6), "disk")
    assert "the spool holds more than 0.0" in finding.detail and "SPOOL_LIMIT" not in finding.fix


def test_a_spool_that_is_a_file_is_bad(tmp_path):
    (tmp_path / "spool").touch()
    finding = spool_of(config_for(tmp_path), "spool")
    assert finding.state == "bad" and "is not a folder" in finding.detail and "remove it" in finding.fix


@posix
def test_a_spool_that_cannot_be_written_is_bad(tmp_path):
    with contextlib.ExitStack() as stack:
        if os.getuid() == 0:  # whom no mode keeps out
            stack.enter_context(small_disk(tmp_path / "spool", "1m", "ro"))
        else:
            (tmp_path / "spool").mkdir(mode=0o500)
        finding = spool_of(config_for(tmp_path), "spool")
    assert finding.state == "bad" and finding.detail.startswith(f"cannot make a folder in {tmp_path / 'spool'}: ")
    assert finding.fix.startswith("set VOID_BRIDGE_SPOOL")


def test_a_full_disk_is_bad(tmp_path):
    with small_disk(tmp_path / "spool") as spool:
        take_room(spool, 0)
        finding = list(disk.spool_findings(config_for(tmp_path)))
        assert [path.name for path in spool.iterdir()] == ["ballast"]
    wrong = found(finding, "spool")
    assert wrong.state == "bad" and wrong.detail == f"cannot write a file in {spool}: No space left on device"
    assert wrong.fix.startswith("the disk is full: remove something")
    assert found(finding, "disk").state == "bad" and found(finding, "disk").detail.startswith("0.0 GB free")
    kind = found(finding, "file system")
    assert kind.state == "note" and kind.detail == f"the spool is in memory: tmpfs at {spool}"


def test_a_disk_without_inodes_is_not_called_full(tmp_path):
    with small_disk(tmp_path / "spool", "4m", "nr_inodes=20") as spool, contextlib.suppress(OSError):
        for number in range(20):
            (spool / str(number)).touch()
        pytest.fail("it took them all")
    with small_disk(tmp_path / "again", "4m", "nr_inodes=20") as spool:
        for number in range(19):
            (spool / str(number)).touch()
        finding = list(disk.spool_findings(Config(spool=spool, runtime_dir=tmp_path)))
    assert found(finding, "spool").state == "bad" and "no room for more files (inodes)" in found(finding, "spool").fix
    assert found(finding, "files").state == "bad" and "has room for only 0 more files" in found(finding, "files").detail


def test_free_space_is_compared_with_a_shot_and_the_spool_limit(tmp_path, monkeypatch):
    free = disk.shutil.disk_usage(tmp_path).free / 1e9
    monkeypatch.setattr(disk, "_SHOT_GB", free / 2)
    roomy = spool_of(config_for(tmp_path, spool_limit_gb=free / 2), "disk")
    over = spool_of(config_for(tmp_path, spool_limit_gb=free * 2), "disk")
    without = spool_of(config_for(tmp_path, spool_limit_gb=0), "disk")
    monkeypatch.setattr(disk, "_SHOT_GB", free * 2)
    short = spool_of(config_for(tmp_path), "disk")
    assert (roomy.state, over.state, without.state, short.state) == ("ok", "note", "note", "note")
    assert f"set VOID_BRIDGE_SPOOL_LIMIT_GB to {free:.0f} or less" in over.fix
    assert "set VOID_BRIDGE_SPOOL_LIMIT_GB" in without.fix
    assert "hold a UHD shot" in short.fix


@posix
def test_a_disk_without_file_modes_is_a_note(tmp_path, monkeypatch):
    """Simulate the disk with a folder that is open to all."""

    def mkdtemp(prefix, dir):
        (dir / prefix).mkdir()
        (dir / prefix).chmod(0o777)
        return str(dir / prefix)

    monkeypatch.setattr(folders.tempfile, "mkdtemp", mkdtemp)
    finding = spool_of(config_for(tmp_path), "spool")
    assert (
        finding.state == "note"
        and "other users of this machine can read" in finding.detail
        and "stores no permissions" in finding.fix
    )


@pytest.mark.parametrize(("ahead", "words"), [(3600, "behind"), (-90, "ahead of")])
def test_a_disk_with_a_wrong_clock_is_a_note(tmp_path, monkeypatch, ahead, words):
    """Simulate the disk by changing the clock of this process."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    finding = spool_of(config_for(tmp_path), "clock")
    assert (
        finding.state == "note" and f" {abs(ahead)} s {words} this machine" in finding.detail and "NTP" in finding.fix
    )


TABLE = """rootfs / rootfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
nas:/vol/jobs {place} {kind} rw,vers=4.2,hard,proto=tcp 0 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the table of mounts is Linux's")
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "lustre"])
def test_a_spool_on_the_network_is_a_note(tmp_path, monkeypatch, kind):
    """Use a table of mounts with the lines of a real one."""
    (tmp_path / "on the nas").mkdir()
    place = str(tmp_path / "on the nas").replace(" ", "\\040")
    (tmp_path / "mounts").write_text(TABLE.format(place=place, kind=kind))
    monkeypatch.setattr(disk, "_TABLE", tmp_path / "mounts")
    finding = spool_of(config_for(tmp_path).replace(spool=tmp_path / "on the nas" / "spool"), "file system")
    assert (finding.state, finding.detail) == (
        "note",
        f"the spool is on a network disk: {kind} at {tmp_path / 'on the nas'}",
    )
    assert "set VOID_BRIDGE_SPOOL" in finding.fix
    assert spool_of(config_for(tmp_path), "file system") == Finding("file system", "ok", "ext4 at /")


def test_a_stalled_disk_does_not_stop_the_doctor(tmp_path, monkeypatch):
    config = config_for(tmp_path)
    config.spool.mkdir()
    stalled = StalledDisk((config.spool,))
    with simulated(stalled, monkeypatch):
        with stalled.stalled():
            finding = run_check("spool", functools.partial(disk.spool_findings, config), "mend it", limit_s=0.2)
            assert stalled.waiting
        eventually(lambda: not [one for one in threading.enumerate() if one.name == "doctor spool"])
    assert finding == [Finding("spool", "bad", "does not answer in 0.2 s", "mend it")]
    assert list(config.spool.iterdir()) == []
