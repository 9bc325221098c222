"""The installed scripts, run as Fusion runs them, with its objects as globals."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from host_plugins.install.plugin_files import menu_scripts
from tests.hosts.fake_fusion import FakeFusion, FakeResolve
from tests.support.host_pythons import needed_python

COMP, TIMELINE, SELFTEST = (
    "Scripts/Comp/VOID Remove.py",
    "Scripts/Edit/VOID Remove (timeline).py",
    "Scripts/Comp/VOID Remove Self-test.py",
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a script. Its folder is empty: the packages come from this environment."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    placed = menu_scripts((tmp_path / "home").as_posix(), "/bin/void-bridge")

    def run(name, names):
        exec(compile(placed[name], name, "exec"), {"__name__": "__main__", **names})
        return [path for path in sys.path if path.startswith(str(tmp_path))]

    return run


def test_menu_scripts_are_placed_and_name_the_command():
    placed = menu_scripts("/home/of/it", "/bin/void-bridge")
    assert set(placed) == {COMP, TIMELINE, SELFTEST, "Scripts/Comp/VOID Remove (free edition).lua"}
    assert 'local VOID_BRIDGE = "/bin/void-bridge"' in placed["Scripts/Comp/VOID Remove (free edition).lua"].decode()


def test_the_composition_script_opens_the_window(run, tmp_path):
    fake = FakeFusion()
    fake.new_comp()
    titles = []

    def artist(user):
        titles.append(user.window.title)
        user.close()

    fake.user = artist
    added = run(COMP, fake.names())
    assert titles == ["VOID Remove"]
    assert added[0] == (tmp_path / "home/python").as_posix() and sys.path[0] != added[0]


@pytest.mark.parametrize(
    ("name", "fake", "message"),
    [
        (COMP, FakeFusion, "no composition is open"),
        (TIMELINE, lambda: FakeResolve(clip=""), "no clip under the playhead"),
        (SELFTEST, FakeFusion, "no composition is open"),
    ],
)
def test_a_message_says_what_is_missing(run, name, fake, message):
    host, messages = fake(), []

    def artist(user):
        messages.append(user.text("text"))
        user.click("ok")

    host.user = artist
    run(name, host.names())
    assert len(messages) == 1 and message in messages[0]


def test_a_script_that_was_copied_by_hand_says_that_it_is_not_installed(capsys):
    placed = menu_scripts("", "")
    for name in (COMP, TIMELINE, SELFTEST):
        exec(compile(placed[name], name, "exec"), {"__name__": "__main__"})
        assert capsys.readouterr().out == "VOID Remove: is not installed; run void-bridge install resolve\n"


def test_an_old_python_is_refused(tmp_path):
    old = needed_python("3.8")
    file = tmp_path / "script.py"
    file.write_bytes(menu_scripts("/home/of/it", json.dumps("x"))[COMP])
    done = subprocess.run([old, str(file)], capture_output=True, text=True)
    assert done.stdout.startswith("VOID Remove: needs Python 3.9 or later, this is 3."), done.stderr
