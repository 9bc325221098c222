"""The third-party packages of a plug-in, which pip downloads as wheels for the host's Python.

pyzmq and msgpack are compiled; fileseq and tomli are pure Python. The versions are pinned, so that every installation
has the same files, and nothing is built from source.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from host_plugins.compiled import compiled_folder
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.typed import nearest

# Several tags for a platform, because some wheels carry an older one. On an Intel Mac, msgpack runs as pure Python.
PLATFORMS: Dict[str, Tuple[str, ...]] = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x86_64": ("win_amd64",),
    "macos-universal2": ("macosx_11_0_universal2", "macosx_11_0_arm64"),
}
PYZMQ, MSGPACK, FILESEQ, TOMLI = "pyzmq==27.3.0", "msgpack==1.2.4", "fileseq==3.4.0", "tomli==2.5.0"
MSGPACK_39 = "msgpack==1.1.2"  # the last one for Python 3.9

_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "2")
# Older pips compare a wheel's required Python with their own; the tags and the pinned versions are enough.
_ONLY_WHEELS = ("--only-binary=:all:", "--no-deps", "--ignore-requires-python")


@dataclass(frozen=True)
class WheelSet:
    """Wheels for one Python and platform.

    Attributes:
        folder: the folder below the plug-in's that they are unpacked into.
        requirements: the pinned requirements.
        tags: pip's options for the Python and the platform.
        target: the Python and the platform, for messages.
    """

    folder: str
    requirements: Tuple[str, ...]
    tags: Tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"{' and '.join(self.requirements)} for {self.target}"

    def download(self, wheelhouse: Path, find_links: Optional[Path] = None) -> None:
        """Download the wheels into a folder. Raise as `unpack`."""
        self._pip(["download", "--dest", str(wheelhouse)], find_links)

    def unpack(self, plugin: Path, find_links: Optional[Path] = None) -> None:
        """Unpack the wheels into the plug-in's folder.

        Args:
            plugin: the plug-in's folder.
            find_links: a folder of wheels, instead of the package index.

        Raises:
            InputError: pip finds no wheel, or fails otherwise.
            UsageError: this Python has no pip.
        """
        self._pip(["install", "--no-compile", "--no-user", "--target", str(plugin / self.folder)], find_links)

    def _pip(self, arguments: Sequence[str], find_links: Optional[Path]) -> None:
        source = ("--no-index", "--find-links", str(find_links)) if find_links else ()
        command = [*_PIP, *arguments, *_ONLY_WHEELS, *self.tags, *source, *self.requirements]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            raise self._failure((done.stdout + done.stderr).decode("utf-8", "replace"), find_links)

    def _failure(self, output: str, find_links: Optional[Path]) -> VoidBridgeError:
        """Return the error for pip's output."""
        if "No module named pip" in output:
            return UsageError(
                f"{sys.executable} has no pip; run it with -m ensurepip, or copy a bundle from another machine"
            )
        missing = re.findall(r"No matching distribution found for (\S+)", output)
        if missing:
            hint = "no package index? --find-links names a folder of wheels"
            if find_links:
                hint = "make the bundle for it too, or name the Pythons that you need with --python"
            where = f" in {find_links}" if find_links else ""
            return InputError(f"pip found no wheel of {missing[-1]} for {self.target}{where}; {hint}")
        return InputError(f"pip failed with {self}: {_reason(output)}")


def _reason(output: str) -> str:
    """Return the last error in pip's output, or its last line."""
    lines = output.strip().splitlines() or ["it printed nothing"]
    errors = [line for line in lines if line.startswith("ERROR:") and not line.startswith("ERROR: Exception")]
    return (errors or lines)[-1].replace("ERROR: ", "")[:300]


def pure_wheels() -> WheelSet:
    """Return the wheels that every Python runs."""
    tags = ("--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.9")
    return WheelSet("python", (FILESEQ, TOMLI), tags, "any Python")


def compiled_wheels(python: str, platform: str) -> WheelSet:
    """Return the compiled wheels for a Python and a platform.

    Args:
        python: the version, such as "3.11".
        platform: a key of PLATFORMS.

    Raises:
        UsageError: no supported host runs this Python, or the platform is unknown.
    """
    match = re.fullmatch(r"3\.(\d+)", python)
    if not match or int(match.group(1)) < 9:
        raise UsageError(f"got Python {python!r}, expected 3.9 or later, such as 3.11")
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise UsageError(f"got platform {platform!r}, expected one of {known}{nearest(platform, PLATFORMS)}")
    tags = [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
    requirements = (MSGPACK_39 if python == "3.9" else MSGPACK, PYZMQ)
    options = (*tags, "--implementation", "cp", "--python-version", python)
    return WheelSet(compiled_folder(python, platform), requirements, options, f"Python {python} on {platform}")
