"""Folders are installed, replaced and removed as a whole, and files of other owners are not touched."""

from __future__ import annotations

import json
import os
import sys

import pytest

from host_plugins.install.manifest import FILE_NAME, Manifest, digests, read_manifest
from host_plugins.install.plugin_folder import check_owner, remove_folder, replace_folder, staging
from void_bridge.errors import OutputError

OLD = {"init.py": "old", "python/pack/module.py": "old", "python/gone.py": "old"}
NEW = {"init.py": "new", "python/pack/module.py": "new", "python/more.py": "new"}
SCRIPT = "Scripts/Comp/Remove.py"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "place" / "void_bridge"


def install(folder, files, outside=None):
    outside = {name: text.encode() for name, text in (outside or {}).items()}
    with staging(folder) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_text(text)
        return replace_folder(staged, folder, Manifest("nuke", "1", digests(staged)).with_outside(outside), outside)


def content(folder):
    """Return the text of every file in a folder but the manifest."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def siblings(folder):
    return sorted(path.name for path in folder.parent.iterdir())


def test_a_folder_is_installed(folder):
    assert install(folder, OLD).state == "installed"
    assert content(folder) == OLD
    assert siblings(folder) == ["void_bridge"]
    assert read_manifest(folder).files == digests(folder)


def test_a_second_installation_changes_nothing(folder):
    install(folder, OLD)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert install(folder, OLD).state == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_update_replaces_every_file(folder):
    install(folder, OLD)
    assert install(folder, NEW).state == "updated"
    assert content(folder) == NEW
    assert siblings(folder) == ["void_bridge"]


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_lost_and_changed_files_are_repaired(folder, damage):
    install(folder, OLD)
    (folder / "init.py").unlink() if damage == "lost" else (folder / "init.py").write_text("by hand")
    assert install(folder, OLD).state == "updated"
    assert content(folder) == OLD


def test_a_file_that_was_changed_by_hand_is_kept(folder):
    install(folder, OLD)
    (folder / "python/pack/module.py").write_text("by hand")
    placed = install(folder, NEW)
    assert placed.changed == ("python/pack/module.py",)
    assert placed.kept == str(folder.parent / "void_bridge.changed")
    assert content(folder.parent / "void_bridge.changed") == {"python/pack/module.py": "by hand"}
    assert content(folder) == NEW


def test_the_byte_code_of_a_host_is_ignored(folder):
    install(folder, OLD)
    (folder / "python/pack/__pycache__").mkdir()
    (folder / "python/pack/__pycache__/module.cpython-39.pyc").write_text("code")
    assert install(folder, OLD).state == "unchanged"
    assert remove_folder(folder).left == ()
    assert not folder.exists()


def test_an_empty_folder_is_used(folder):
    folder.mkdir(parents=True)
    assert install(folder, OLD).state == "installed"


def test_a_folder_of_another_owner_is_refused(folder):
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match=r"did not put .*theirs.py there; .*--dest"):
        install(folder, OLD)
    assert content(folder) == {"theirs.py": "theirs"} and siblings(folder) == ["void_bridge"]


def test_a_file_of_another_owner_in_the_folder_is_refused(folder):
    install(folder, OLD)
    (folder / "python/theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match=r"theirs\.py"):
        install(folder, NEW)
    assert content(folder) == {**OLD, "python/theirs.py": "theirs"}


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_a_file_or_link_is_refused(folder, tmp_path, kind):
    folder.parent.mkdir(parents=True)
    (tmp_path / "target").mkdir()
    if kind == "file":
        folder.write_text("theirs")
    else:
        folder.symlink_to(tmp_path / ("target" if kind == "link" else "nowhere"))
    with pytest.raises(OutputError, match="expected a folder"):
        install(folder, OLD)


def test_an_error_names_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "place").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*void_bridge.*--dest"):
        install(tmp_path / "place" / "void_bridge", OLD)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_error_names_a_folder_without_permission(tmp_path):
    (tmp_path / "place").mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"Permission denied.*--dest"):
        install(tmp_path / "place" / "void_bridge", OLD)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_installation_leaves_the_old_folder(folder, error):
    install(folder, OLD)
    with pytest.raises(error), staging(folder) as staged:
        (staged / "init.py").write_text("half")
        raise error
    assert content(folder) == OLD and siblings(folder) == ["void_bridge"]


def test_an_update_that_fails_outside_leaves_the_old_folder_and_scripts(folder):
    install(folder, OLD, {SCRIPT: "old"})
    (folder.parent / "Scripts/Edit").write_text("a file where a folder has to be")
    with pytest.raises(OutputError):
        install(folder, NEW, {SCRIPT: "new", "Scripts/Edit/Timeline.py": "new"})
    assert content(folder) == OLD
    assert (folder.parent / SCRIPT).read_text() == "old"
    assert siblings(folder) == ["Scripts", "void_bridge"]


def test_a_first_installation_that_fails_outside_leaves_nothing(folder):
    folder.parent.mkdir()
    (folder.parent / "Scripts").write_text("a file where a folder has to be")
    with pytest.raises(OutputError):
        install(folder, NEW, {SCRIPT: "new"})
    assert siblings(folder) == ["Scripts"]


def test_a_kill_between_the_renames_is_repaired(folder):
    install(folder, OLD)
    folder.rename(folder.with_name(".void_bridge.01234567.void-old"))
    assert install(folder, OLD).state == "unchanged"
    assert content(folder) == OLD and siblings(folder) == ["void_bridge"]


def test_leftovers_of_a_kill_after_the_renames_are_deleted(folder):
    install(folder, OLD)
    aside = folder.with_name(".void_bridge.01234567.void-old")
    aside.mkdir()
    stale = folder.with_name(".void_bridge.01234567.void-tmp")
    stale.mkdir()
    os.utime(stale, (0, 0))
    at_work = folder.with_name(".void_bridge.76543210.void-tmp")
    at_work.mkdir()
    install(folder, NEW)
    assert siblings(folder) == [at_work.name, "void_bridge"]
    assert content(folder) == NEW


def test_scripts_outside_are_installed_and_removed_with_the_folder(folder):
    install(folder, OLD, {SCRIPT: "old", "Scripts/Edit/Timeline.py": "old"})
    install(folder, NEW, {SCRIPT: "new"})
    assert content(folder.parent / "Scripts") == {"Comp/Remove.py": "new"}
    assert remove_folder(folder).left == ()
    assert content(folder.parent / "Scripts") == {}


def test_a_script_of_another_owner_is_refused(folder):
    path = folder.parent / SCRIPT
    path.parent.mkdir(parents=True)
    path.write_text("theirs")
    with pytest.raises(OutputError, match=r"did not put .*Remove.py"):
        install(folder, OLD, {SCRIPT: "ours"})
    assert path.read_text() == "theirs" and not folder.exists()


def test_a_script_that_was_changed_by_hand_is_kept(folder):
    install(folder, OLD, {SCRIPT: "old"})
    (folder.parent / SCRIPT).write_text("by hand")
    assert install(folder, OLD, {SCRIPT: "new"}).changed == (SCRIPT,)
    assert content(folder.parent / "void_bridge.changed") == {SCRIPT: "by hand"}


def test_a_removal_leaves_no_file(folder):
    install(folder, OLD)
    removed = remove_folder(folder)
    assert (removed.count, removed.left) == (len(OLD), ())
    assert siblings(folder) == []


def test_a_removal_leaves_changed_files_and_files_of_other_owners(folder):
    install(folder, OLD, {SCRIPT: "old"})
    (folder / "init.py").write_text("by hand")
    (folder / "python/theirs.py").write_text("theirs")
    (folder.parent / SCRIPT).write_text("by hand")
    removed = remove_folder(folder)
    assert removed.count == len(OLD) - 1
    assert set(removed.left) == {folder / "init.py", folder / "python/theirs.py", folder.parent / SCRIPT}
    assert content(folder) == {"init.py": "by hand", "python/theirs.py": "theirs"}


def test_a_removal_of_nothing_is_no_error(folder):
    assert remove_folder(folder).count == 0


def test_a_folder_without_a_manifest_is_not_removed(folder):
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match="leaves it"):
        remove_folder(folder)
    assert content(folder) == {"theirs.py": "theirs"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.py", "a/../../b.py", "C:/x.py", "..\\x.py"])
@pytest.mark.parametrize("where", ["files", "outside"])
def test_a_manifest_that_names_files_elsewhere_is_refused(folder, name, where):
    install(folder, OLD)
    path = folder / FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), where: {name: ""}}))
    for call in (remove_folder, check_owner):
        with pytest.raises(OutputError, match="is outside that folder"):
            call(folder)
    assert content(folder) == OLD


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "nuke"}'])
def test_an_error_names_a_damaged_manifest(folder, text):
    install(folder, OLD)
    (folder / FILE_NAME).write_text(text)
    with pytest.raises(OutputError, match=FILE_NAME):
        install(folder, NEW)
    assert content(folder) == OLD
