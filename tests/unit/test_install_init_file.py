"""The lines in Nuke's init.py are added once and removed completely."""

from __future__ import annotations

import stat
import sys

import pytest

from host_plugins.install.init_file import LINE, add_block, has_line, remove_block
from void_bridge.errors import OutputError

THEIRS = [
    b"import nuke\nnuke.pluginAddPath('./gizmos')\n",
    b"import nuke\r\nnuke.pluginAddPath('./gizmos')\r\n",
    b"# voil\xe0, in an old encoding\n",
    b"\n\n",
    b"nuke.pluginAddPath('./void_bridge_gizmos')\n",
    b"# nuke.pluginAddPath('./void_bridge')\n",
]
BY_HAND = [
    b'nuke.pluginAddPath("./void_bridge")\n',
    b"import nuke\nnuke.pluginAddPath('/studio/nuke/void_bridge')  # ours\n",
    b"if True:\n    nuke.pluginAppendPath('./void_bridge')",
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "init.py"


def lines(path):
    return path.read_bytes().decode("latin-1").splitlines()


@pytest.mark.parametrize("theirs", THEIRS)
def test_lines_are_appended_and_removed(path, theirs):
    path.write_bytes(theirs)
    assert add_block(path) == "added"
    assert path.read_bytes().startswith(theirs) and lines(path)[-2] == LINE
    assert add_block(path) == "there"
    assert lines(path).count(LINE) == 1
    assert remove_block(path)
    assert path.read_bytes() == theirs


def test_line_ends_are_kept(path):
    path.write_bytes(b"import nuke\r\n")
    add_block(path)
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") == 5


def test_a_last_line_without_an_end_gets_one(path):
    path.write_bytes(b"import nuke")
    add_block(path)
    assert lines(path)[:2] == ["import nuke", lines(path)[1]] and lines(path)[1].startswith("# >>> VOID Bridge")
    remove_block(path)
    assert path.read_bytes() == b"import nuke\n"


def test_lines_below_are_kept(path):
    path.write_bytes(THEIRS[0])
    add_block(path)
    path.write_bytes(path.read_bytes() + b"nuke.pluginAddPath('./later')\n")
    remove_block(path)
    assert path.read_bytes() == THEIRS[0] + b"nuke.pluginAddPath('./later')\n"


@pytest.mark.parametrize("theirs", BY_HAND)
def test_a_file_that_already_loads_the_folder_is_not_changed(path, theirs):
    path.write_bytes(theirs)
    assert has_line(path)
    assert add_block(path) == "there"
    assert not remove_block(path)
    assert path.read_bytes() == theirs


def test_a_missing_file_is_written_and_removed(path):
    assert add_block(path) == "made"
    assert lines(path)[1:3] == ["import nuke", LINE]
    assert remove_block(path)
    assert not path.exists()


def test_without_a_file_nothing_is_removed(path):
    assert not has_line(path)
    assert not remove_block(path)
    assert not path.exists()


def test_the_lines_are_python(path):
    add_block(path)
    compile(path.read_bytes(), "init.py", "exec")


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_link_stays_a_link_and_its_file_keeps_its_mode(path, tmp_path):
    target = tmp_path / "dotfiles" / "init.py"
    target.parent.mkdir()
    target.write_bytes(THEIRS[0])
    target.chmod(0o600)
    path.symlink_to(target)
    add_block(path)
    assert path.is_symlink() and has_line(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    remove_block(path)
    assert path.is_symlink() and target.read_bytes() == THEIRS[0]


def test_an_error_names_a_file_that_cannot_be_read(path):
    path.mkdir()
    with pytest.raises(OutputError, match=r"init\.py"):
        add_block(path)
