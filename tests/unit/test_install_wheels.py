"""The wheels of a plug-in, and error messages for pip's failures."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from host_plugins.compiled import compiled_folder, platform_name
from host_plugins.install import wheels
from host_plugins.install.hosts import NUKE_PYTHONS, RESOLVE_PYTHONS
from host_plugins.install.wheels import PLATFORMS, compiled_wheels, pure_wheels
from tests.support.fake_wheels import make_wheelhouse
from void_bridge.errors import InputError, UsageError

pytestmark = pytest.mark.slow

CONSTRAINTS = (Path(__file__).parents[2] / "constraints.txt").read_text().lower().split()


def test_each_python_and_platform_has_its_own_folder():
    assert compiled_folder("3.11", "linux-x86_64") == "compiled/cp311-linux_x86_64"
    assert compiled_wheels("3.9", "macos-universal2").folder == "compiled/cp39-macos_universal2"


@pytest.mark.skipif(sys.platform not in ("linux", "win32", "darwin"), reason="no host runs there")
def test_this_platform_has_a_name():
    assert re.fullmatch(r"(linux|windows|macos)-\w+", platform_name())


@pytest.mark.parametrize("python", [*NUKE_PYTHONS.values(), *RESOLVE_PYTHONS])
def test_the_pinned_versions_are_those_of_the_test_environment(python):
    """Python 3.9 alone gets an older msgpack: the tests run on a later Python."""
    pinned = [*pure_wheels().requirements, *compiled_wheels(python, "linux-x86_64").requirements]
    assert {pin.partition("==")[0] for pin in pinned} == {"fileseq", "tomli", "pyzmq", "msgpack"}
    others = [pin for pin in pinned if pin not in CONSTRAINTS and not pin.startswith("tomli")]
    assert others == ([wheels.MSGPACK_39] if python == "3.9" else [])


@pytest.mark.parametrize("python", ["2.7", "3.8", "3", "3.11.2", "python3.11", ""])
def test_a_python_that_no_host_runs_is_refused(python):
    with pytest.raises(UsageError, match=r"expected 3\.9 or later"):
        compiled_wheels(python, "linux-x86_64")


def test_an_unknown_platform_is_refused_and_the_nearest_named():
    with pytest.raises(UsageError, match=r"expected one of .*did you mean .*'linux-x86_64'"):
        compiled_wheels("3.11", "linux-x86")


def test_a_missing_wheel_is_named(tmp_path):
    wheelhouse = make_wheelhouse(tmp_path / "wheels", platforms=("windows-x86_64",))
    for call in (compiled_wheels("3.11", "linux-x86_64").unpack, compiled_wheels("3.11", "linux-x86_64").download):
        with pytest.raises(InputError, match=r"no wheel of msgpack==1\S+ for Python 3.11 on linux-x86_64 in .*wheels"):
            call(tmp_path / "out", wheelhouse)


def test_the_error_of_pip_is_part_of_the_message(tmp_path):
    wheelhouse = make_wheelhouse(tmp_path / "wheels")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"pip failed with fileseq==\S+ and tomli==\S+ for any Python: .*file"):
        pure_wheels().unpack(tmp_path / "file", wheelhouse)


def test_a_python_without_pip_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "_PIP", (sys.executable, "-I", "-S", "-m", "pip"))
    with pytest.raises(UsageError, match=r"has no pip; .*ensurepip"):
        pure_wheels().unpack(tmp_path, tmp_path)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_its_own_folder(tmp_path, platform):
    wheelhouse = make_wheelhouse(tmp_path / "wheels", platforms=tuple(PLATFORMS))
    compiled_wheels("3.11", platform).unpack(tmp_path / "out", wheelhouse)
    module = (tmp_path / "out" / compiled_folder("3.11", platform) / "zmq/__init__.py").read_text()
    tags = {"linux-x86_64": "manylinux", "windows-x86_64": "win_amd64", "macos-universal2": "macosx"}
    assert tags[platform] in module
