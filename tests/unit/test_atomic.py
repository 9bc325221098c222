"""Atomic writes of files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from void_bridge.atomic import TEMPORARY_SUFFIX, remove_abandoned, replacing, sync_folder, write_bytes
from void_bridge.errors import OutputError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_written_and_its_folders_are_created(tmp_path, durable):
    write_bytes(tmp_path / "a" / "b" / "f.exr", b"new", durable)
    assert (tmp_path / "a" / "b" / "f.exr").read_bytes() == b"new"
    assert names(tmp_path / "a" / "b") == ["f.exr"]


def test_a_partial_file_is_never_visible(tmp_path):
    target = tmp_path / "f.exr"
    target.write_bytes(b"old")
    with replacing(target) as temporary:
        temporary.write_bytes(b"ne")
        assert target.read_bytes() == b"old"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".") and temporary.name.endswith(TEMPORARY_SUFFIX)
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["f.exr"]


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_changes_nothing(tmp_path, stop):
    (tmp_path / "f.exr").write_bytes(b"old")
    with pytest.raises(stop), replacing(tmp_path / "f.exr") as temporary:
        temporary.write_bytes(b"ne")
        raise stop
    assert (tmp_path / "f.exr").read_bytes() == b"old"
    assert names(tmp_path) == ["f.exr"]


def test_two_writers_use_different_temporary_files(tmp_path):
    with replacing(tmp_path / "f") as one, replacing(tmp_path / "f") as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert (tmp_path / "f").read_bytes() == b"one"
    assert names(tmp_path) == ["f"]


def test_a_folder_at_the_target_is_named_and_kept(tmp_path):
    (tmp_path / "f.exr").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*f.exr: "):
        write_bytes(tmp_path / "f.exr", b"new")
    assert names(tmp_path) == ["f.exr"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot write .*file/f.exr: "):
        write_bytes(tmp_path / "file" / "f.exr", b"new")


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"f.exr"), replacing(tmp_path / "f.exr"):
        pass
    assert names(tmp_path) == []


def test_a_file_name_of_maximal_length_is_written(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    write_bytes(tmp_path / ("f" * longest), b"new")
    assert names(tmp_path) == ["f" * longest]


def test_an_existing_folder_is_synced(tmp_path):
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")


def test_files_of_killed_writers_are_removed_and_those_of_live_ones_kept(tmp_path):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom void_bridge.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    print(flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "killed.exr")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        remove_abandoned(tmp_path)
        assert len(names(tmp_path)) == 1, "its writer is still there"
        writer.kill()
    (tmp_path / f".frame.exr.0000beef-1-00000000{TEMPORARY_SUFFIX}").write_bytes(b"of another machine")
    old = tmp_path / f".old.exr.0000beef-1-00000000{TEMPORARY_SUFFIX}"
    old.write_bytes(b"of yesterday")
    os.utime(old, (0, 0))
    (tmp_path / "frame.exr").write_bytes(b"a frame")
    remove_abandoned(tmp_path)
    assert names(tmp_path) == [f".frame.exr.0000beef-1-00000000{TEMPORARY_SUFFIX}", "frame.exr"]
    remove_abandoned(tmp_path / "nothing here")
