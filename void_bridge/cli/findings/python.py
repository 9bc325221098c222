"""Of Python and its packages: whether they are there, and whether they really load."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Iterator, Sequence, Tuple

from void_bridge.cli.findings import Finding

Package = Tuple[str, str]  # module, name

_BASE: Tuple[Package, ...] = (("zmq", "pyzmq"), ("msgpack", "msgpack"), ("fileseq", "Fileseq"), ("rich", "rich"))
_SERVER: Tuple[Package, ...] = (
    ("numpy", "numpy"),
    ("OpenEXR", "OpenEXR"),
    ("PyOpenColorIO", "opencolorio"),
    ("cv2", "opencv-python-headless"),
    ("av", "av"),
    ("psutil", "psutil"),
    ("prometheus_client", "prometheus-client"),
)
_SERVER_PYTHON = (3, 11)
_LAST_TRIED = (3, 13)
_LOAD_S = 25.0
_LOAD = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name, flush=True)
"""


def python_findings() -> Iterator[Finding]:
    yield python_finding(tuple(sys.version_info[:3]), struct.calcsize("P") * 8)
    yield _packages("packages", _BASE, "void-bridge", "bad")
    yield _packages("server", _SERVER, "void-bridge[server]", "note")


def python_finding(version: Tuple[int, ...], bits: int) -> Finding:
    """Of a Python of this version and width; `python_findings` gives those that run here."""
    found = f"{'.'.join(map(str, version))} at {sys.executable}, {_environment()}"
    if bits < 64:
        fix = "install a 64-bit Python: the packages of a server are made for no other"
        return Finding("python", "bad", f"{found}, {bits}-bit", fix)
    if version[:2] < _SERVER_PYTHON:
        return Finding("python", "note", found, "a server needs Python 3.11 or later; clients run on this one")
    if version[:2] > _LAST_TRIED:
        fix = "tried up to Python 3.13: where a package has no wheel for this one, use 3.13"
        return Finding("python", "note", found, fix)
    return Finding("python", "ok", found)


def _environment() -> str:
    if sys.prefix != sys.base_prefix:
        return f"virtual environment {sys.prefix}"
    conda = os.environ.get("CONDA_PREFIX", "")
    return f"conda environment {conda}" if conda and sys.prefix == conda else "no virtual environment"


def _packages(name: str, packages: Sequence[Package], wanted: str, state: str) -> Finding:
    missing = [package for module, package in packages if not find_spec(module)]
    if missing:
        fix = f"pip install '{wanted}'"
        return Finding(name, "bad" if state == "bad" else "note", f"missing {', '.join(missing)}", fix)
    broken, why = _broken([module for module, _ in packages])
    if broken:
        package = dict(packages)[broken]
        return Finding(name, "bad", f"{package} does not load: {why}", _mend(package, why))
    return Finding(name, "ok", ", ".join(f"{package} {_version(package)}" for _, package in packages))


def _version(package: str) -> str:
    """Empty where the module came under another name, as opencv-python's does."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(of another package)"


def _broken(modules: Sequence[str]) -> Package:
    """The first module that does not load, and why; tried in a process of its own, which a bad library may end."""
    command = [sys.executable, "-c", _LOAD, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_LOAD_S)
    except subprocess.TimeoutExpired as exc:
        loaded = (exc.stdout or b"").decode(errors="replace").split()
        return modules[len(loaded)], f"it takes longer than {_LOAD_S:.0f} s"
    if not done.returncode:
        return "", ""
    said = done.stderr.strip().splitlines()
    why = said[-1][:300] if said else f"its process ended with {done.returncode}"
    return modules[min(len(done.stdout.split()), len(modules) - 1)], why


def _mend(package: str, why: str) -> str:
    if "libGL" in why:
        return "pip uninstall opencv-python, then pip install --force-reinstall opencv-python-headless"
    return f"pip install --force-reinstall {package}"
