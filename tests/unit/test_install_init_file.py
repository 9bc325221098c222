"""The lines in Nuke's init.py: added once, and taken out without a trace."""

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
def test_lines_are_added_at_the_end_and_taken_out_again(path, theirs):
    path.write_bytes(theirs)
    assert add_block(path) == "added"
    assert path.read_bytes().startswith(theirs) and lines(path)[-2] == LINE
    assert add_block(path) == "there"
    assert lines(path).count(LINE) == 1
    assert remove_block(path)
    assert path.read_bytes() == theirs


def test_line_ends_stay_as_they_are(path):
    path.write_bytes(b"import nuke\r\n")
    add_block(path)
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") == 5


def test_a_last_line_without_an_end_gets_one(path):
    path.write_bytes(b"import nuke")
    add_block(path)
    assert lines(path)[:2] == ["import nuke", lines(path)[1]] and lines(path)[1].startswith("# >>> VOID Bridge")
    remove_block(path)
    assert path.read_bytes() == b"import nuke\n"


def test_what_was_written_below_stays(path):
    path.write_bytes(THEIRS[0])
    add_block(path)
    path.write_bytes(path.read_bytes() + b"nuke.pluginAddPath('./later')\n")
    remove_block(path)
    assert path.read_bytes() == THEIRS[0] + b"nuke.pluginAddPath('./later')\n"


@pytest.mark.parametrize("theirs", BY_HAND)
def test_a_file_that_names_the_folder_is_left_alone(path, theirs):
    path.write_bytes(theirs)
    assert has_line(path)
    assert add_block(path) == "there"
    assert not remove_block(path)
    assert path.read_bytes() == theirs


def test_a_file_is_made_and_goes_again(path):
    assert add_block(path) == "made"
    assert lines(path)[1:3] == ["import nuke", LINE]
    assert remove_block(path)
    assert not path.exists()


def test_without_a_file_there_is_nothing_to_take_out(path):
    assert not has_line(path)
    assert not remove_block(path)
    assert not path.exists()


def test_the_lines_are_python(path):
    add_block(path)
    compile(path.read_bytes(), "init.py", "exec")


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_link_stays_one_and_its_file_as_private_as_it_was(path, tmp_path):
    kept = tmp_path / "dotfiles" / "init.py"
    kept.parent.mkdir()
    kept.write_bytes(THEIRS[0])
    kept.chmod(0o600)
    path.symlink_to(kept)
    add_block(path)
    assert path.is_symlink() and has_line(kept)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    remove_block(path)
    assert path.is_symlink() and kept.read_bytes() == THEIRS[0]


def test_a_file_that_cannot_be_read_is_named(path):
    path.mkdir()
    with pytest.raises(OutputError, match=r"init\.py"):
        add_block(path)
