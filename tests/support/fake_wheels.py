"""Fake wheels of the packages that `void-bridge install` downloads, so that tests need no package index.

Their packages hold one constant, the wheel's tag, and are never imported.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from host_plugins.install.wheels import compiled_wheels, pure_wheels

_TAGS = {
    "linux-x86_64": "manylinux2014_x86_64",
    "windows-x86_64": "win_amd64",
    "macos-universal2": "macosx_10_15_universal2",
}
_MODULES = {"pyzmq": "zmq"}


def make_wheelhouse(folder: Path, pythons=("3.11",), platforms=("linux-x86_64",)) -> Path:
    """Write wheels of every package for some Pythons and platforms into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for requirement in pure_wheels().requirements:
        make_wheel(folder, requirement, "py3-none-any")
    for python in pythons:
        cp = f"cp{python.replace('.', '')}"
        for platform in platforms:
            for requirement in compiled_wheels(python, platform).requirements:
                make_wheel(folder, requirement, f"{cp}-{cp}-{_TAGS[platform]}")
    return folder


def make_wheel(folder: Path, requirement: str, tag: str) -> Path:
    """Write a wheel with a given tag and return its path."""
    name, _, version = requirement.partition("==")
    info, module = f"{name}-{version}.dist-info", _MODULES.get(name, name)
    files = {
        f"{module}/__init__.py": f"TAG = {tag!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for where, text in files.items():
            wheel.writestr(zipfile.ZipInfo(where), text)
    return path
