"""The Pythons of hosts that are on this machine, and real wheels for them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from host_plugins.install.wheels import compiled_wheels, pure_wheels
from void_bridge.errors import InputError

HOST_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


@functools.cache
def host_python(version: str) -> Optional[str]:
    """Return the path of a Python of this version that runs, from PATH or pyenv, or None."""
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def _candidates(version: str) -> list[str]:
    on_path = shutil.which(f"python{version}")  # possibly a shim of pyenv that fails
    root = Path(os.environ.get("PYENV_ROOT", "") or Path.home() / ".pyenv")
    installed = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    return [*([on_path] if on_path else []), *map(str, installed)]


def _runs(path: str, version: str) -> bool:
    ask = "import sys; print(*sys.version_info[:2], sep='.')"
    done = subprocess.run([path, "-I", "-c", ask], capture_output=True, text=True)
    return done.stdout.strip() == version


def needed_python(version: str) -> str:
    """Return the path of a Python of this version, or skip the test."""
    return host_python(version) or pytest.skip(f"no Python {version} on PATH or in pyenv")


def real_wheels(folder: Path, targets: tuple[tuple[str, str], ...]) -> Path:
    """Return a folder with wheels for pairs of Python and platform, or skip the test without a package index."""
    try:
        pure_wheels().download(folder)
    except InputError as exc:
        pytest.skip(f"needs a package index: {exc}")
    for python, platform in targets:
        compiled_wheels(python, platform).download(folder)
    return folder
