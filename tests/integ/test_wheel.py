"""What pip builds from this repository: nothing of ours is left behind, the scripts of hosts included."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("void_bridge", "host_plugins", "gpu_server")


@pytest.mark.skipif(not find_spec("setuptools"), reason="needs setuptools, to build without a package index")
def test_the_wheel_holds_every_file(tmp_path):
    source = tmp_path / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    expected = {path.relative_to(source).as_posix() for path in source.glob("*/**/*") if path.is_file()}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", tmp_path, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("void_bridge-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    assert {"host_plugins/nuke/plugin/init.py", "host_plugins/resolve/scripts/VOID Remove.py"} <= expected
    assert expected - found == set()
