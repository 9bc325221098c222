"""Folders that take their place whole or not at all, and give way without harm to anybody's files."""

from __future__ import annotations

import json
import os
import sys

import pytest

from host_plugins.install.manifest import FILE_NAME, Manifest, digests, read_manifest
from host_plugins.install.place import ours, put, staging, take_away
from void_bridge.errors import OutputError

OLD = {"init.py": "old", "python/pack/module.py": "old", "python/gone.py": "old"}
NEW = {"init.py": "new", "python/pack/module.py": "new", "python/more.py": "new"}
SCRIPT = "Scripts/Comp/Remove.py"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "place" / "void_bridge"


def place(folder, files, outside=None):
    outside = {name: text.encode() for name, text in (outside or {}).items()}
    with staging(folder) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_text(text)
        return put(staged, folder, Manifest("nuke", "1", digests(staged)).with_outside(outside), outside)


def content(folder):
    """Every file of a folder but the manifest; byte code too."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def beside(folder):
    return sorted(path.name for path in folder.parent.iterdir())


def test_a_folder_is_put_in_place(folder):
    assert place(folder, OLD).state == "installed"
    assert content(folder) == OLD
    assert beside(folder) == ["void_bridge"]
    assert read_manifest(folder).files == digests(folder)


def test_the_same_again_changes_nothing(folder):
    place(folder, OLD)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert place(folder, OLD).state == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_update_replaces_all_of_it(folder):
    place(folder, OLD)
    assert place(folder, NEW).state == "updated"
    assert content(folder) == NEW
    assert beside(folder) == ["void_bridge"]


@pytest.mark.parametrize("harm", ["lost", "changed"])
def test_what_is_no_longer_whole_is_mended(folder, harm):
    place(folder, OLD)
    (folder / "init.py").unlink() if harm == "lost" else (folder / "init.py").write_text("by hand")
    assert place(folder, OLD).state == "updated"
    assert content(folder) == OLD


def test_what_was_changed_by_hand_is_kept_beside(folder):
    place(folder, OLD)
    (folder / "python/pack/module.py").write_text("by hand")
    placed = place(folder, NEW)
    assert placed.changed == ("python/pack/module.py",)
    assert placed.kept == str(folder.parent / "void_bridge.changed")
    assert content(folder.parent / "void_bridge.changed") == {"python/pack/module.py": "by hand"}
    assert content(folder) == NEW


def test_byte_code_that_a_host_left_is_no_obstacle(folder):
    place(folder, OLD)
    (folder / "python/pack/__pycache__").mkdir()
    (folder / "python/pack/__pycache__/module.cpython-39.pyc").write_text("code")
    assert place(folder, OLD).state == "unchanged"
    assert take_away(folder).left == ()
    assert not folder.exists()


def test_an_empty_folder_is_taken(folder):
    folder.mkdir(parents=True)
    assert place(folder, OLD).state == "installed"


def test_a_folder_of_somebody_else_is_refused(folder):
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match=r"did not put .*theirs.py there; .*--dest"):
        place(folder, OLD)
    assert content(folder) == {"theirs.py": "theirs"} and beside(folder) == ["void_bridge"]


def test_somebody_elses_file_in_our_folder_is_refused(folder):
    place(folder, OLD)
    (folder / "python/theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match=r"theirs\.py"):
        place(folder, NEW)
    assert content(folder) == {**OLD, "python/theirs.py": "theirs"}


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_what_is_no_folder_is_refused(folder, tmp_path, kind):
    folder.parent.mkdir(parents=True)
    (tmp_path / "target").mkdir()
    if kind == "file":
        folder.write_text("theirs")
    else:
        folder.symlink_to(tmp_path / ("target" if kind == "link" else "nowhere"))
    with pytest.raises(OutputError, match="expected a folder"):
        place(folder, OLD)


def test_a_place_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "place").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*void_bridge.*--dest"):
        place(tmp_path / "place" / "void_bridge", OLD)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "place").mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"Permission denied.*--dest"):
        place(tmp_path / "place" / "void_bridge", OLD)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_interrupted_leaves_the_old_folder(folder, error):
    place(folder, OLD)
    with pytest.raises(error), staging(folder) as staged:
        (staged / "init.py").write_text("half")
        raise error
    assert content(folder) == OLD and beside(folder) == ["void_bridge"]


def test_an_update_that_fails_outside_leaves_the_old_folder_and_scripts(folder):
    place(folder, OLD, {SCRIPT: "old"})
    (folder.parent / "Scripts/Edit").write_text("a file where a folder has to be")
    with pytest.raises(OutputError):
        place(folder, NEW, {SCRIPT: "new", "Scripts/Edit/Timeline.py": "new"})
    assert content(folder) == OLD
    assert (folder.parent / SCRIPT).read_text() == "old"
    assert beside(folder) == ["Scripts", "void_bridge"]


def test_a_first_installation_that_fails_outside_leaves_nothing(folder):
    folder.parent.mkdir()
    (folder.parent / "Scripts").write_text("a file where a folder has to be")
    with pytest.raises(OutputError):
        place(folder, NEW, {SCRIPT: "new"})
    assert beside(folder) == ["Scripts"]


def test_a_kill_between_the_renames_is_mended(folder):
    place(folder, OLD)
    folder.rename(folder.with_name(".void_bridge.01234567.void-old"))
    assert place(folder, OLD).state == "unchanged"
    assert content(folder) == OLD and beside(folder) == ["void_bridge"]


def test_a_kill_after_the_renames_is_tidied_up(folder):
    place(folder, OLD)
    aside = folder.with_name(".void_bridge.01234567.void-old")
    aside.mkdir()
    stale = folder.with_name(".void_bridge.01234567.void-tmp")
    stale.mkdir()
    os.utime(stale, (0, 0))
    at_work = folder.with_name(".void_bridge.76543210.void-tmp")
    at_work.mkdir()
    place(folder, NEW)
    assert beside(folder) == [at_work.name, "void_bridge"]
    assert content(folder) == NEW


def test_scripts_outside_come_and_go_with_the_folder(folder):
    place(folder, OLD, {SCRIPT: "old", "Scripts/Edit/Timeline.py": "old"})
    place(folder, NEW, {SCRIPT: "new"})
    assert content(folder.parent / "Scripts") == {"Comp/Remove.py": "new"}
    assert take_away(folder).left == ()
    assert content(folder.parent / "Scripts") == {}


def test_a_script_of_somebody_else_is_refused(folder):
    path = folder.parent / SCRIPT
    path.parent.mkdir(parents=True)
    path.write_text("theirs")
    with pytest.raises(OutputError, match=r"did not put .*Remove.py"):
        place(folder, OLD, {SCRIPT: "ours"})
    assert path.read_text() == "theirs" and not folder.exists()


def test_a_script_that_was_changed_by_hand_is_kept_beside(folder):
    place(folder, OLD, {SCRIPT: "old"})
    (folder.parent / SCRIPT).write_text("by hand")
    assert place(folder, OLD, {SCRIPT: "new"}).changed == (SCRIPT,)
    assert content(folder.parent / "void_bridge.changed") == {SCRIPT: "by hand"}


def test_taking_away_leaves_nothing_of_ours(folder):
    place(folder, OLD)
    removed = take_away(folder)
    assert (removed.count, removed.left) == (len(OLD), ())
    assert beside(folder) == []


def test_taking_away_leaves_what_is_changed_or_not_ours(folder):
    place(folder, OLD, {SCRIPT: "old"})
    (folder / "init.py").write_text("by hand")
    (folder / "python/theirs.py").write_text("theirs")
    (folder.parent / SCRIPT).write_text("by hand")
    removed = take_away(folder)
    assert removed.count == len(OLD) - 1
    assert set(removed.left) == {folder / "init.py", folder / "python/theirs.py", folder.parent / SCRIPT}
    assert content(folder) == {"init.py": "by hand", "python/theirs.py": "theirs"}


def test_taking_nothing_away_is_no_error(folder):
    assert take_away(folder).count == 0


def test_a_folder_without_a_manifest_is_not_taken_away(folder):
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text("theirs")
    with pytest.raises(OutputError, match="leaves it"):
        take_away(folder)
    assert content(folder) == {"theirs.py": "theirs"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.py", "a/../../b.py", "C:/x.py", "..\\x.py"])
@pytest.mark.parametrize("where", ["files", "outside"])
def test_a_manifest_that_names_files_elsewhere_is_refused(folder, name, where):
    place(folder, OLD)
    path = folder / FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), where: {name: ""}}))
    for call in (take_away, ours):
        with pytest.raises(OutputError, match="lies elsewhere"):
            call(folder)
    assert content(folder) == OLD


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "nuke"}'])
def test_a_damaged_manifest_is_named(folder, text):
    place(folder, OLD)
    (folder / FILE_NAME).write_text(text)
    with pytest.raises(OutputError, match=FILE_NAME):
        place(folder, NEW)
    assert content(folder) == OLD
