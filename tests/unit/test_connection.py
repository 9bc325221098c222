"""The connection file: found by address, private, written atomically."""

import os
import stat
import sys

import pytest

from void_bridge.connection import (
    Connection,
    connection_path,
    host_identity,
    installation_id,
    read_connection,
    remove_connection,
    write_connection,
)
from void_bridge.errors import NoServer, OutputError, Refused

CONNECTION = Connection(
    "tcp://127.0.0.1:5570", "S" * 40, "C" * 40, "s" * 40, 4711, "abc", "0.1", "tcp://127.0.0.1:5571"
)


@pytest.fixture
def path(tmp_path):
    path = connection_path(tmp_path / "run")
    write_connection(path, CONNECTION)
    return path


def test_a_connection_file_is_read_as_it_was_written(path):
    assert read_connection(path) == CONNECTION


def test_other_users_cannot_read_a_connection_file(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_open_folder_is_closed_to_other_users(tmp_path):
    (tmp_path / "run").mkdir(mode=0o755)
    write_connection(connection_path(tmp_path / "run"), CONNECTION)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_connection_file_is_replaced_atomically(path):
    newer = Connection("tcp://127.0.0.1:6000", "T" * 40, "D" * 40, "t" * 40, 4712, "abc", "0.1")
    write_connection(path, newer)
    assert read_connection(path) == newer
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(path, mode):
    path.chmod(mode)
    with pytest.raises(Refused, match="read by others"):
        read_connection(path)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a file away needs root")
def test_a_file_of_another_user_is_refused(path):
    os.chown(path, 12345, -1)
    with pytest.raises(Refused, match="another user"):
        read_connection(path)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a folder away needs root")
def test_a_folder_of_another_user_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12345, -1)
    with pytest.raises(Refused, match="VOID_BRIDGE_RUNTIME_DIR"):
        write_connection(connection_path(tmp_path / "run"), CONNECTION)


def test_a_link_is_refused(path, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(Refused, match="cannot read connection file"):
        read_connection(link)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_is_refused_without_blocking(path, make):
    path.unlink()
    make(path)
    path.chmod(0o600)
    with pytest.raises(Refused, match="is not a file"):
        read_connection(path)


def test_a_folder_that_others_can_replace_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(Refused, match="is writable for all"):
        write_connection(connection_path(tmp_path / "open" / "run"), CONNECTION)
    (tmp_path / "open").chmod(0o1777)
    write_connection(connection_path(tmp_path / "open" / "run"), CONNECTION)


def test_a_repr_does_not_show_the_secret():
    assert CONNECTION.client_secret not in repr(CONNECTION)


def test_a_missing_file_means_no_server(tmp_path):
    with pytest.raises(NoServer, match="void-bridge serve"):
        read_connection(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"control_address": 5}', '{"control_address": "tcp://x:1"}'])
def test_a_file_that_is_no_connection_file_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(Refused, match=path.name):
        read_connection(path)


def test_fields_of_a_newer_version_are_ignored(path):
    path.write_text(path.read_text().replace("{", '{"later": 1,', 1))
    assert read_connection(path) == CONNECTION


def test_a_runtime_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match="run"):
        write_connection(connection_path(tmp_path / "run"), CONNECTION)


def test_a_server_removes_only_its_own_file(path):
    remove_connection(path, Connection("tcp://127.0.0.1:1", "", "", "", 1, "", ""))
    assert path.exists()
    remove_connection(path, CONNECTION)
    assert not path.exists()
    remove_connection(path, CONNECTION)


def test_the_local_file_is_named_after_the_installation(tmp_path):
    assert connection_path(tmp_path).name == f"local-{installation_id()}.json"
    assert connection_path(tmp_path, "") == connection_path(tmp_path)


def test_each_address_has_its_own_file(tmp_path):
    addresses = [
        "tcp://gpu1:5570",
        "tcp://gpu1:5571",
        "tcp://gpu2:5570",
        "tcp://gpu-1:5570",
        "tcp://gpu.1:5570",
        "x" * 300,
    ]
    assert len({connection_path(tmp_path, address) for address in addresses}) == len(addresses)
    assert all(len(connection_path(tmp_path, address).name) < 120 for address in addresses)


def test_two_spellings_of_an_address_have_the_same_file(tmp_path):
    assert connection_path(tmp_path, " tcp://localhost:5570/ ") == connection_path(tmp_path, "tcp://127.0.0.1:5570")


def test_an_installation_keeps_its_id(monkeypatch):
    name = installation_id()
    assert name == installation_id() and len(name) == 12
    monkeypatch.setattr(sys, "prefix", "/elsewhere")
    assert installation_id() != name


def test_a_host_identity_is_user_and_machine():
    user, _, machine = host_identity().partition("@")
    assert user and machine
