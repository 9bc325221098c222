"""The recorded installation of a plug-in's copy of the package: its Python and its id."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.client_jobs import config_for
from void_bridge import installation
from void_bridge.client.launch import server_python
from void_bridge.connection import connection_path, installation_id
from void_bridge.errors import ConfigError, NoServer
from void_bridge.installation import FILE_NAME, Installation, recorded_installation

RECORD = {"executable": str(Path(sys.executable).with_name("python-of-the-record")), "installation": "0123456789ab"}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Return a function that writes a record beside the package that runs, as it seems."""
    monkeypatch.setattr(installation, "__file__", str(tmp_path / "python" / "void_bridge" / "installation.py"))
    (tmp_path / "python").mkdir()
    path = tmp_path / "python" / FILE_NAME

    def write(**changes):
        path.write_text(json.dumps({**RECORD, "version": "0.1.0", **changes}), encoding="utf-8")
        return path

    return write


def test_a_virtual_environment_has_no_record(tmp_path):
    assert recorded_installation() is None
    assert server_python(config_for(tmp_path)) == sys.executable


def test_a_copy_without_a_record_has_its_own_id(record):
    assert recorded_installation() is None
    assert installation_id() != RECORD["installation"]


def test_a_record_is_read(record):
    record()
    assert recorded_installation() == Installation(**RECORD, version="0.1.0")


def test_a_copy_has_the_id_of_its_server(record, tmp_path):
    record()
    assert installation_id() == RECORD["installation"]
    assert connection_path(tmp_path).name == f"local-{RECORD['installation']}.json"


def test_servers_start_with_the_recorded_python(record, tmp_path):
    record()
    assert server_python(config_for(tmp_path)) == RECORD["executable"]


def test_the_configured_python_wins(record, tmp_path):
    record()
    assert server_python(config_for(tmp_path, executable="/studio/python")) == "/studio/python"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"executable": 5, "installation": "a", "version": "1"}', "\0"])
def test_a_record_that_cannot_be_read_is_named(record, text):
    path = record()
    path.write_text(text)
    with pytest.raises(ConfigError, match=FILE_NAME) as caught:
        installation_id()
    assert str(path) in str(caught.value)


def test_a_record_that_is_a_folder_is_named(record):
    path = record()
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*install nuke"):
        recorded_installation()


def test_fields_of_a_newer_version_are_ignored(record):
    record(later=1)
    assert recorded_installation() == Installation(**RECORD, version="0.1.0")


def test_a_python_of_another_system_is_not_started(record, tmp_path):
    record(executable="python" if sys.platform == "win32" else r"C:\void\python.exe")
    with pytest.raises(NoServer, match=r"on this system; run void-bridge install again"):
        server_python(config_for(tmp_path))
