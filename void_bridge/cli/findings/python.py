"""Checks of Python and its packages: whether they are installed, and whether they can be imported."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Iterator, Sequence, Tuple

from void_bridge.cli.findings import Finding, State

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
    """Yield findings about this Python and the packages of a client and a server."""
    yield python_finding(tuple(sys.version_info[:3]), struct.calcsize("P") * 8)
    yield _packages("packages", _BASE, "void-bridge", "bad")
    yield _packages("server", _SERVER, "void-bridge[server]", "note")


def python_finding(version: Tuple[int, ...], bits: int) -> Finding:
    """Return whether a server and a client can run under a Python of this version and pointer width."""
    found = f"{'.'.join(map(str, version))} at {sys.executable}, {_environment()}"
    if bits < 64:
        fix = "install a 64-bit Python: a server's packages need it"
        return Finding("python", "bad", f"{found}, {bits}-bit", fix)
    if version[:2] < _SERVER_PYTHON:
        return Finding("python", "note", found, "a server needs Python 3.11 or later; clients run on this one")
    if version[:2] > _LAST_TRIED:
        fix = "tested up to Python 3.13: if a package has no wheel for this version, use 3.13"
        return Finding("python", "note", found, fix)
    return Finding("python", "ok", found)


def _environment() -> str:
    """Return the environment in which this Python runs."""
    if sys.prefix != sys.base_prefix:
        return f"virtual environment {sys.prefix}"
    conda = os.environ.get("CONDA_PREFIX", "")
    return f"conda environment {conda}" if conda and sys.prefix == conda else "no virtual environment"


def _packages(name: str, packages: Sequence[Package], requirement: str, missing_state: State) -> Finding:
    """Return whether packages can be imported.

    Args:
        name: name of the finding.
        packages: modules with the packages that they come from.
        requirement: the requirement that installs them.
        missing_state: state of the finding if packages are missing.
    """
    missing = [package for module, package in packages if not find_spec(module)]
    if missing:
        return Finding(name, missing_state, f"missing {', '.join(missing)}", f"install {requirement}")
    broken, why = _find_broken([module for module, _ in packages])
    if broken:
        package = dict(packages)[broken]
        return Finding(name, "bad", f"{package} does not load: {why}", _fix(package, why))
    return Finding(name, "ok", ", ".join(f"{package} {_version(package)}" for _, package in packages))


def _version(package: str) -> str:
    """Return the version of a package, unless its module comes from another one, as opencv-python's may."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(from another package)"


def _find_broken(modules: Sequence[str]) -> Tuple[str, str]:
    """Return the first module that cannot be imported, and why. A broken library may end only the child process."""
    command = [sys.executable, "-c", _LOAD, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_LOAD_S)
    except subprocess.TimeoutExpired as exc:
        loaded = (exc.stdout or b"").decode(errors="replace").split()
        return modules[len(loaded)], f"loading it takes longer than {_LOAD_S:.0f} s"
    if not done.returncode:
        return "", ""
    errors = done.stderr.strip().splitlines()
    why = errors[-1][:300] if errors else f"its process ended with exit code {done.returncode}"
    return modules[min(len(done.stdout.split()), len(modules) - 1)], why


def _fix(package: str, why: str) -> str:
    """Return the command that reinstalls a package."""
    if "libGL" in why:
        return "pip uninstall opencv-python, then pip install --force-reinstall opencv-python-headless"
    return f"pip install --force-reinstall {package}"
