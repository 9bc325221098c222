"""The hosts on a machine, which is a made-up tree of folders."""

from __future__ import annotations

import pytest

from host_plugins.install.hosts import Machine, default_folder, default_pythons, find_hosts


def machine(tmp_path, system, *folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    return Machine(system, tmp_path, tmp_path / "home", tmp_path / "home/AppData/Roaming")


@pytest.mark.parametrize(
    ("system", "folders"),
    [
        ("linux", ("usr/local/Nuke14.1v5", "opt/Nuke15.0v4", "home/Nuke16.0v8", "opt/Nuke17.0v3")),
        ("macos", ("Applications/Nuke14.1v5", "Applications/Nuke15.0v4", "Applications/Nuke16.0v8")),
        ("windows", ("Program Files/Nuke14.1v5", "Program Files/Nuke15.0v4", "Program Files/Nuke16.0v8")),
    ],
)
def test_nuke_is_found_in_its_usual_folders(tmp_path, system, folders):
    found = find_hosts("nuke", machine(tmp_path, system, *folders))
    expected = [("Nuke 14.1v5", "3.9"), ("Nuke 15.0v4", "3.10"), ("Nuke 16.0v8", "3.11"), ("Nuke 17.0v3", "3.11")]
    assert [(host.name, host.python) for host in found] == expected[: len(folders)]
    assert [host.folder for host in found] == [tmp_path / folder for folder in folders]
    assert not any(host.note for host in found)


def test_versions_are_in_the_order_of_their_numbers(tmp_path):
    names = ("usr/local/Nuke15.1v10", "usr/local/Nuke15.1v9", "opt/Nuke15.1v9")
    found = find_hosts("nuke", machine(tmp_path, "linux", *names))
    assert [host.name for host in found] == ["Nuke 15.1v9", "Nuke 15.1v9", "Nuke 15.1v10"]


@pytest.mark.parametrize(("name", "note"), [("Nuke13.2v8", "too old"), ("Nuke18.0v1", "--python")])
def test_a_version_without_a_known_python_has_a_note(tmp_path, name, note):
    (host,) = find_hosts("nuke", machine(tmp_path, "linux", f"usr/local/{name}"))
    assert host.python == "" and note in host.note and "14 to 17" in host.note


def test_other_folders_with_nuke_in_their_name_are_no_hosts(tmp_path):
    tree = machine(tmp_path, "linux", "usr/local/NukeSurvivalToolkit", "usr/local/Nuke", "opt/Nuke15.0v4-old")
    (tmp_path / "usr/local/Nuke15.0v4").write_text("a file")
    assert find_hosts("nuke", tree) == []


@pytest.mark.parametrize(
    ("system", "folder"),
    [
        ("linux", "opt/resolve"),
        ("macos", "Applications/DaVinci Resolve"),
        ("windows", "Program Files/Blackmagic Design/DaVinci Resolve"),
    ],
)
def test_resolve_is_found_in_its_usual_folder(tmp_path, system, folder):
    assert find_hosts("resolve", machine(tmp_path / "none", system)) == []
    (host,) = find_hosts("resolve", machine(tmp_path, system, folder))
    assert (host.name, host.python, host.folder) == ("DaVinci Resolve", "", tmp_path / folder)


@pytest.mark.parametrize(
    ("host", "system", "folder"),
    [
        ("nuke", "linux", ".nuke"),
        ("nuke", "macos", ".nuke"),
        ("nuke", "windows", ".nuke"),
        ("resolve", "linux", ".local/share/DaVinciResolve/Fusion"),
        ("resolve", "macos", "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion"),
        ("resolve", "windows", "AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion"),
    ],
)
def test_each_host_has_its_users_folder(tmp_path, host, system, folder):
    assert default_folder(host, machine(tmp_path, system)) == tmp_path / "home" / folder


def test_the_default_pythons_are_those_of_all_supported_versions():
    assert default_pythons("nuke") == ("3.9", "3.10", "3.11")
    assert default_pythons("resolve") == ("3.10", "3.11", "3.12", "3.13")


def test_the_current_machine_has_a_root_and_a_home():
    this = Machine.current()
    assert this.root.is_dir() and this.home.is_absolute()
    assert isinstance(find_hosts("nuke", this), list)
