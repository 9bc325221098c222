"""`void-bridge install`, with the real pip and fake wheels (tests/support/fake_wheels.py)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host_plugins.install import plugin_files
from host_plugins.install.command import COMMAND
from host_plugins.install.hosts import Machine
from host_plugins.install.init_file import LINE
from tests.support.commands import run_command
from tests.support.fake_wheels import make_wheelhouse
from tests.support.live_server import eventually
from void_bridge.connection import installation_id
from void_bridge.errors import InputError, OutputError, UsageError

pytestmark = pytest.mark.slow

FOR_LINUX = ("--python", "3.11", "--platform", "linux-x86_64")
SCRIPTS = {
    "VOID Remove.py": 'VOID_BRIDGE_HOME = ""\nprint(VOID_BRIDGE_HOME)\n',
    "VOID Timeline.py": 'VOID_BRIDGE_HOME = ""\n',
    "VOID Remove.lua": 'local VOID_BRIDGE_HOME = ""\nlocal VOID_BRIDGE = ""\nlocal OTHER = ""\n',
    "Utility/VOID Self-test.py": 'VOID_BRIDGE_HOME = ""\n',
    "notes.txt": "no script",
}


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    platforms = ("linux-x86_64", "windows-x86_64", "macos-universal2")
    return make_wheelhouse(tmp_path_factory.mktemp("wheels"), ("3.9", "3.11"), platforms)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the home folder of a user without settings of this machine."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "XDG_", "VOID_BRIDGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("VOID_BRIDGE_SITE_CONFIG", str(tmp_path / "none.toml"))
    return tmp_path / "home"


@pytest.fixture
def install(home, wheelhouse, capsys):
    """Return a function that runs the command and returns its output."""

    def install(host, *arguments, find_links=wheelhouse):
        source = ("--find-links", find_links) if find_links else ()
        assert run_command(COMMAND, host, *source, *arguments) == 0
        printed = capsys.readouterr()
        return printed.out + printed.err

    return install


@pytest.fixture(scope="module")
def made_once(wheelhouse, tmp_path_factory):
    """Return a plug-in's folder for Nuke, for tests that copy it and change it."""
    folder = tmp_path_factory.mktemp("made")
    assert run_command(COMMAND, "nuke", "--find-links", wheelhouse, *FOR_LINUX, "--dest", folder) == 0
    return folder / "void_bridge"


@pytest.fixture
def installed(made_once, home):
    return Path(shutil.copytree(made_once, home / ".nuke/void_bridge"))


@pytest.fixture(scope="module")
def bundle_once(wheelhouse, tmp_path_factory):
    """Return a bundle for Nuke, for tests that copy it and change it."""
    folder = tmp_path_factory.mktemp("bundled") / "bundle"
    assert run_command(COMMAND, "nuke", "--find-links", wheelhouse, *FOR_LINUX, "--bundle", folder) == 0
    return folder


@pytest.fixture
def bundle(bundle_once, tmp_path):
    return Path(shutil.copytree(bundle_once, tmp_path / "bundle"))


@pytest.fixture
def resolve_scripts(tmp_path, monkeypatch):
    """Return scripts for Resolve with the lines that are filled in."""
    folder = tmp_path / "scripts"
    for name, text in SCRIPTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(plugin_files, "scripts_folder", lambda host: folder)
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plug_in_for_nuke_has_the_files_that_a_host_needs(install, home):
    output = install("nuke", *FOR_LINUX)
    plugin = home / ".nuke/void_bridge"
    found = set(files(plugin))
    assert {
        "init.py",
        "menu.py",
        "void_bridge_nuke.py",
        "LICENSE",
        "manifest.json",
        "python/installation.json",
        "python/void_bridge/client/client.py",
        "python/void_bridge/protocol/messages.py",
        "python/host_plugins/compiled.py",
        "python/host_plugins/control/controller.py",
        "python/host_plugins/nuke/node.py",
        "python/fileseq/__init__.py",
        "python/tomli/__init__.py",
        "compiled/cp311-linux_x86_64/zmq/__init__.py",
        "compiled/cp311-linux_x86_64/msgpack/__init__.py",
    } <= found
    unwanted = ("/pixels/", "/cli/", "/install/", "/plugin/", "/resolve/", "gpu_server", "__pycache__", "numpy")
    assert [name for name in found if any(part in name for part in unwanted)] == []
    assert f"    {LINE}" in output and f"NUKE_PATH instead: {plugin}" in output
    assert not (home / ".nuke/init.py").exists()


def test_the_record_names_this_python_and_its_installation(install, home):
    install("nuke", *FOR_LINUX)
    record = json.loads((home / ".nuke/void_bridge/python/installation.json").read_text())
    assert record == {"executable": sys.executable, "installation": installation_id(), "version": "0.1.0"}


def test_a_second_installation_changes_nothing_and_needs_no_wheels(install, installed, home, tmp_path):
    install("nuke", *FOR_LINUX, "--edit-init")
    before = files(home / ".nuke")
    (tmp_path / "empty").mkdir()
    output = install("nuke", *FOR_LINUX, "--edit-init", find_links=tmp_path / "empty")
    assert "nothing to change" in output and "unpacking" not in output
    assert files(home / ".nuke") == before


def test_a_lost_file_of_a_wheel_is_fetched_again(install, installed, home):
    before = files(home / ".nuke")
    (installed / "compiled/cp311-linux_x86_64/zmq/__init__.py").unlink()
    assert "updated" in install("nuke", *FOR_LINUX)
    assert files(home / ".nuke") == before


def test_the_packages_of_another_python_are_added_and_removed(install, installed):
    both = ("--python", "3.9", "3.11", "--platform", "linux-x86_64", "--platform", "windows-x86_64")
    assert "updated" in install("nuke", *both)
    names = {path.name for path in (installed / "compiled").iterdir()}
    assert names == {"cp39-linux_x86_64", "cp311-linux_x86_64", "cp39-windows_x86_64", "cp311-windows_x86_64"}
    install("nuke", *FOR_LINUX)
    assert [path.name for path in (installed / "compiled").iterdir()] == ["cp311-linux_x86_64"]


def test_the_line_in_init_py_is_written_on_request_and_removed(install, installed, home):
    (home / ".nuke/init.py").write_text("import nuke\n")
    install("nuke", *FOR_LINUX, "--edit-init")
    assert LINE in (home / ".nuke/init.py").read_text()
    output = install("nuke", "--uninstall")
    assert files(home / ".nuke") == {"init.py": b"import nuke\n"}
    assert "removed" in output and "removed the line" in output
    assert "nothing is installed" in install("nuke", "--uninstall")


def test_uninstalling_names_a_line_that_was_written_by_hand(install, installed, home):
    (home / ".nuke/init.py").write_text(f"import nuke\n{LINE}\n")
    assert "still loads it" in install("nuke", "--uninstall")
    assert (home / ".nuke/init.py").read_text() == f"import nuke\n{LINE}\n"


def test_a_studio_installs_into_its_own_folder(install, home, tmp_path):
    output = install("nuke", *FOR_LINUX, "--dest", tmp_path / "studio", "--edit-init")
    assert (tmp_path / "studio/void_bridge/init.py").exists() and LINE in (tmp_path / "studio/init.py").read_text()
    assert not (home / ".nuke").exists() and "(made)" in output
    assert "removed" in install("nuke", "--dest", tmp_path / "studio", "--uninstall")
    assert files(tmp_path / "studio") == {}


def test_the_json_names_the_folder_and_its_state(home, wheelhouse, tmp_path):
    command = [sys.executable, "-m", "void_bridge.cli", "install", "nuke", "--find-links", wheelhouse, *FOR_LINUX]
    done = subprocess.run([*command, "--dest", tmp_path, "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    outcome = json.loads(line)
    assert {name: outcome[name] for name in ("host", "state", "folder", "pythons", "platforms", "line")} == {
        "host": "nuke",
        "state": "installed",
        "folder": str(tmp_path / "void_bridge"),
        "pythons": ["3.11"],
        "platforms": ["linux-x86_64"],
        "line": LINE,
    }
    assert outcome["executable"] == sys.executable


def test_the_folder_and_the_command_are_written_into_resolves_scripts(install, home, tmp_path, resolve_scripts):
    fusion = tmp_path / 'Fusion "of" \\ours'
    install("resolve", *FOR_LINUX, "--dest", fusion)
    assert {name for name in files(fusion) if not name.startswith("void_bridge/")} == {
        "Scripts/Comp/VOID Remove.py",
        "Scripts/Comp/VOID Remove.lua",
        "Scripts/Edit/VOID Timeline.py",
        "Scripts/Utility/VOID Self-test.py",
    }
    names = {}
    exec((fusion / "Scripts/Edit/VOID Timeline.py").read_text(), names)
    assert names["VOID_BRIDGE_HOME"] == str(fusion / "void_bridge")
    lua = (fusion / "Scripts/Comp/VOID Remove.lua").read_text().splitlines()
    command = Path(sys.executable).with_name("void-bridge.exe" if os.name == "nt" else "void-bridge")
    assert lua[0] == f"local VOID_BRIDGE_HOME = {json.dumps(str(fusion / 'void_bridge'))}"
    assert lua[1:] == [f"local VOID_BRIDGE = {json.dumps(str(command))}", 'local OTHER = ""']
    found = files(fusion / "void_bridge")
    assert "python/installation.json" in found and "init.py" not in found
    assert not any("host_plugins/nuke/" in name or "host_plugins/resolve/scripts" in name for name in found)


def test_resolves_scripts_are_removed(install, tmp_path, resolve_scripts):
    fusion = tmp_path / "Fusion"
    install("resolve", *FOR_LINUX, "--dest", fusion)
    assert "nothing to change" in install("resolve", *FOR_LINUX, "--dest", fusion)
    (resolve_scripts / "VOID Timeline.py").unlink()
    assert "updated" in install("resolve", *FOR_LINUX, "--dest", fusion)
    assert not (fusion / "Scripts/Edit/VOID Timeline.py").exists()
    install("resolve", "--uninstall", "--dest", fusion)
    assert files(fusion) == {}


def test_the_folder_is_written_into_every_script_for_resolve():
    placed = plugin_files.menu_scripts("/studio/void_bridge", "/studio/bin/void-bridge")
    assert {name.rpartition("/")[0] for name in placed} <= {"Scripts/Comp", "Scripts/Edit", "Scripts/Utility"}
    assert [name for name in placed if "timeline" in name] == [name for name in placed if "/Edit/" in name] != []
    for name, data in placed.items():
        assert re.search(rb'^(local )?VOID_BRIDGE_HOME = "/studio/void_bridge"', data, re.MULTILINE) or (
            b'local VOID_BRIDGE = "/studio/bin/void-bridge"' in data
        ), name
        assert not re.search(rb'^(local )?VOID_BRIDGE(_HOME)? = ""', data, re.MULTILINE), name
        if name.endswith(".py"):
            compile(data, name, "exec")


def test_packages_are_installed_for_the_pythons_of_the_hosts_on_this_machine(install, home, tmp_path, monkeypatch):
    for name in ("Nuke13.2v8", "Nuke14.1v5", "Nuke16.0v8", "Nuke17.0v3"):
        (tmp_path / "root/usr/local" / name).mkdir(parents=True)
    monkeypatch.setattr(Machine, "current", lambda: Machine("linux", tmp_path / "root", home))
    output = install("nuke", "--platform", "linux-x86_64")
    assert {path.name for path in (home / ".nuke/void_bridge/compiled").iterdir()} == {
        "cp39-linux_x86_64",
        "cp311-linux_x86_64",
    }
    assert "found Nuke 14.1v5 in " in output and "found Nuke 13.2v8 in" in output and "too old" in output


def test_without_a_host_packages_are_installed_for_all_supported_pythons(install, home, tmp_path, monkeypatch):
    monkeypatch.setattr(Machine, "current", lambda: Machine("linux", tmp_path / "root", home))
    with pytest.raises(InputError, match=r"Python 3\.10"):  # no such wheel among the made ones
        install("nuke", "--platform", "linux-x86_64")


def test_a_missing_wheel_is_named_and_the_old_installation_stays(install, installed, home):
    before = files(home / ".nuke")
    with pytest.raises(InputError, match=r"no wheel of msgpack==\S+ for Python 3.12 on linux-x86_64 in "):
        install("nuke", "--python", "3.12", "--platform", "linux-x86_64")
    assert files(home / ".nuke") == before
    assert [path.name for path in (home / ".nuke").iterdir()] == ["void_bridge"]


def test_a_folder_of_another_owner_is_refused_before_wheels_are_fetched(install, home, tmp_path):
    (home / ".nuke/void_bridge").mkdir(parents=True)
    (home / ".nuke/void_bridge/theirs.py").write_text("theirs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match=r"theirs\.py"):
        install("nuke", *FOR_LINUX, find_links=tmp_path / "empty")
    assert files(home / ".nuke") == {"void_bridge/theirs.py": b"theirs"}


def test_an_error_names_a_folder_that_cannot_be_written(install, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/void_bridge"):
        install("nuke", *FOR_LINUX, "--dest", tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("nuke", "--python", "3.8"), "3.9 or later"),
        (("nuke", "--python", "3"), "3.9 or later"),
        (("nuke", "--platform", "linux"), "linux-x86_64"),
        (("nuke", "--bundle", "b", "--uninstall"), "exclude"),
        (("nuke", "--bundle", "b", "--dest", "d"), "remove --dest"),
        (("nuke", "--uninstall", "--edit-init"), "exclude"),
        (("resolve", "--edit-init"), "for nuke"),
        (("nuke", "--find-links", "nowhere"), "folder of wheels"),
    ],
)
def test_options_that_exclude_each_other_are_refused(install, home, tmp_path, arguments, match, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=match):
        install(*arguments)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_interrupt_leaves_no_file(home, wheelhouse, tmp_path):
    """Send Ctrl-C while pip runs; a fake pip waits."""
    waiting = tmp_path / "pip"
    waiting.mkdir()
    (waiting / "__init__.py").write_text("")
    (waiting / "__main__.py").write_text(
        f"import pathlib, sys\npathlib.Path({str(tmp_path / 'at-work')!r}).touch()\nsys.stdin.read()\n"
        "import threading; threading.Event().wait()\n"
    )
    command = [sys.executable, "-m", "void_bridge.cli", "install", "nuke", "--find-links", wheelhouse, *FOR_LINUX]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command += ["--dest", tmp_path / "dest"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=tmp_path)
    eventually(lambda: (tmp_path / "at-work").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=30)
    assert process.returncode == 130 and b"interrupted" in output
    assert list((tmp_path / "dest").iterdir()) == []


def test_a_bundle_has_every_file_and_no_path_of_this_machine(install, home, tmp_path):
    install("nuke", "--bundle", tmp_path / "bundle", "--python", "3.9", "3.11", "--platform", "linux-x86_64")
    found = files(tmp_path / "bundle")
    assert {name.split("/")[0] for name in found} == {"README.txt", "manifest.json", "void_bridge", "wheelhouse"}
    assert len([name for name in found if name.endswith(".whl")]) == 6
    assert {path.name for path in (tmp_path / "bundle/void_bridge/compiled").iterdir()} == {
        "cp39-linux_x86_64",
        "cp311-linux_x86_64",
    }
    assert not [name for name in found if name.endswith("installation.json")]
    assert not [name for name, data in found.items() if name.startswith("void_bridge/") and str(home).encode() in data]
    readme = (tmp_path / "bundle/README.txt").read_text()
    assert LINE in readme and "Python 3.9, 3.11 on linux-x86_64\n" in readme
    assert "install nuke --find-links wheelhouse --python 3.9 3.11\n" in readme


def test_a_bundle_has_the_files_of_an_installation(install, installed, bundle, home, tmp_path):
    install("nuke", *FOR_LINUX, "--dest", tmp_path / "dest", find_links=bundle / "wheelhouse")
    bundled, made = files(bundle / "void_bridge"), files(tmp_path / "dest/void_bridge")
    assert made == files(installed)
    only = {"manifest.json", "python/installation.json"}
    assert {n: d for n, d in bundled.items() if n not in only} == {n: d for n, d in made.items() if n not in only}


def test_a_copied_bundle_is_updated_and_removed(install, home, bundle):
    (home / ".nuke").mkdir(parents=True)
    (bundle / "void_bridge").rename(home / ".nuke/void_bridge")
    assert "updated" in install("nuke", *FOR_LINUX)
    assert "removed" in install("nuke", "--uninstall")
    assert files(home / ".nuke") == {}


def test_a_bundle_replaces_an_older_one_and_no_other_folder(install, bundle):
    before = files(bundle)
    assert "nothing to change" in install("nuke", "--bundle", bundle, *FOR_LINUX)
    assert files(bundle) == before
    (bundle / "theirs.txt").write_text("theirs")
    with pytest.raises(OutputError, match=r"theirs\.txt"):
        install("nuke", "--bundle", bundle, *FOR_LINUX)


def test_resolves_bundle_has_its_scripts_unchanged(install, tmp_path, resolve_scripts):
    install("resolve", "--bundle", tmp_path / "bundle", *FOR_LINUX)
    found = files(tmp_path / "bundle")
    assert found["Scripts/Comp/VOID Remove.py"].decode() == SCRIPTS["VOID Remove.py"]
    assert b"VOID_BRIDGE_HOME" in found["README.txt"]
