"""Findings of `void-bridge doctor` about hosts and plug-ins on machines that are made-up trees of folders."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import pytest

from host_plugins.compiled import compiled_folder, platform_name
from host_plugins.install import findings
from host_plugins.install.hosts import Machine
from host_plugins.install.init_file import add_block
from host_plugins.install.manifest import Manifest, digests, write_manifest
from void_bridge import __version__
from void_bridge.cli import findings as registry
from void_bridge.cli.findings import Finding, registered_findings
from void_bridge.connection import installation_id
from void_bridge.errors import ConfigError

NUKE_16 = "usr/local/Nuke16.0v8"


@pytest.fixture
def machine(tmp_path):
    (tmp_path / NUKE_16).mkdir(parents=True)
    return Machine("linux", tmp_path, tmp_path / "home")


def plugin(folder, host="nuke", version=__version__, python="3.11", **record):
    """Write the parts of an installed folder that the doctor reads."""
    folder.joinpath("python").mkdir(parents=True)
    (folder / "init.py").write_text("")
    facts = {"executable": sys.executable, "installation": installation_id(), "version": version, **record}
    (folder / "python/installation.json").write_text(json.dumps(facts))
    wheels = {compiled_folder(python, platform_name()): ("pyzmq==27.3.0",)}
    write_manifest(folder, Manifest(host, version, digests(folder), wheels=wheels))
    return folder


def found(machine, host="nuke"):
    return [finding for finding in findings.host_findings(machine) if finding.name == host]


@pytest.fixture
def installed(machine):
    folder = plugin(machine.home / ".nuke/void_bridge")
    add_block(folder.parent / "init.py")
    return folder


def test_a_machine_without_hosts_needs_no_plug_in(tmp_path):
    all_findings = list(findings.host_findings(Machine("linux", tmp_path, tmp_path / "home")))
    assert [(one.name, one.state, one.fix) for one in all_findings] == [("nuke", "ok", ""), ("resolve", "ok", "")]
    assert all("none on this machine; no plug-in in " in one.detail for one in all_findings)


def test_a_host_without_its_plug_in_has_the_command_that_installs_it(machine, tmp_path):
    (tmp_path / "opt/resolve").mkdir(parents=True)
    (nuke,), (resolve,) = found(machine), found(machine, "resolve")
    assert (nuke.state, nuke.fix) == ("note", "void-bridge install nuke --edit-init") and "Nuke 16.0v8" in nuke.detail
    assert (resolve.state, resolve.fix) == ("note", "void-bridge install resolve")


def test_a_plug_in_of_this_version_is_fine(machine, installed):
    (finding,) = found(machine)
    assert finding == Finding("nuke", "ok", f"Nuke 16.0v8; plug-in in {installed}, of this version")


def test_a_version_that_is_too_old_has_a_note(machine, installed, tmp_path):
    (tmp_path / "opt/Nuke13.2v8").mkdir(parents=True)
    assert "Nuke 13.2v8 (is too old; expected Nuke 14 to 17), Nuke 16.0v8" in found(machine)[0].detail


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"version": "0.0.9"}, f"of version 0.0.9, this is {__version__}"),
        ({"executable": "/nowhere/python"}, "the Python that starts its server no longer exists: /nowhere/python"),
        ({"installation": "0123456789ab"}, f"its server is that of {sys.executable}, not of this void-bridge"),
        ({"python": "3.9"}, "it has no packages for Nuke 16.0v8 (Python 3.11)"),
    ],
)
def test_problems_of_a_plug_in_are_found(machine, facts, problem):
    folder = plugin(machine.home / ".nuke/void_bridge", **facts)
    add_block(folder.parent / "init.py")
    (finding,) = found(machine)
    assert (finding.state, finding.fix) == ("note", "void-bridge install nuke")
    assert finding.detail.endswith(f": {problem}")


def test_a_lost_file_is_found(machine, installed):
    (installed / "init.py").unlink()
    assert "some of its files are lost or were changed" in found(machine)[0].detail


def test_a_plug_in_from_a_bundle_needs_no_server_of_its_own(machine, installed):
    (installed / "python/installation.json").unlink()
    manifest = Manifest("nuke", __version__, {}, wheels={compiled_folder("3.11", platform_name()): ()})
    write_manifest(installed, dataclasses.replace(manifest, files=digests(installed)))
    assert found(machine)[0].state == "ok"


def test_a_plug_in_that_no_init_file_loads_is_found(machine):
    plugin(machine.home / ".nuke/void_bridge")
    (finding,) = found(machine)
    assert finding.detail.endswith("init.py does not load it")
    assert finding.fix == "void-bridge install nuke --edit-init, or add it to NUKE_PATH"


def test_a_plug_in_in_nuke_path_is_found_and_fixed_in_its_folder(machine, tmp_path):
    folder = plugin(tmp_path / "studio/void_bridge", version="0.0.9")
    others = tmp_path / "others"
    others.mkdir()
    (others / "manifest.json").write_text("[]")  # not a folder of void-bridge
    (finding,) = found(dataclasses.replace(machine, nuke_path=(others, folder)))
    assert finding.fix == f"void-bridge install nuke --dest {tmp_path / 'studio'}"
    folder = plugin(tmp_path / "new/void_bridge")
    assert found(dataclasses.replace(machine, nuke_path=(folder,)))[0].state == "ok"


def test_nuke_path_is_read_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NUKE_PATH", os.pathsep.join((str(tmp_path), "", "/b")))
    assert [str(path) for path in Machine.current().nuke_path] == [str(tmp_path), "/b"]


def test_a_manifest_that_cannot_be_read_is_bad_and_the_other_host_is_still_checked(machine, installed):
    (installed / "manifest.json").write_text("{")
    nuke, resolve = findings.host_findings(machine)
    assert nuke.state == "bad" and "cannot read" in nuke.detail and "install again" in nuke.detail
    assert resolve.name == "resolve"


class Entry:
    """The parts of an entry point that the doctor uses."""

    def __init__(self, error):
        self.error = error

    def load(self):
        if isinstance(self.error, ImportError):
            raise self.error
        return self.check

    def check(self):
        yield Finding("first", "ok", "")
        raise self.error


def test_a_check_that_raises_is_a_finding(monkeypatch):
    checks = {"a": Entry(ImportError("no module named pip")), "b": Entry(ConfigError("the file is bad"))}
    monkeypatch.setattr(registry, "find_entry_points", lambda group: checks)
    results = [(one.name, one.state, one.detail) for one in registered_findings()]
    assert results == [
        ("a", "note", "cannot be checked: no module named pip"),
        ("first", "ok", ""),
        ("b", "bad", "the file is bad"),
    ]
