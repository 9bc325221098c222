"""The packages of others that a plug-in needs, as wheels for the host's Python, by this Python's pip.

Two are compiled, pyzmq and msgpack, and two are pure Python, for every host alike. The versions are fixed, so that
installing twice gives the same files, and nothing is ever built from source.
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

# One tag for each platform would miss wheels that carry an older one. On an Intel Mac, msgpack runs as pure Python.
PLATFORMS: Dict[str, Tuple[str, ...]] = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x86_64": ("win_amd64",),
    "macos-universal2": ("macosx_11_0_universal2", "macosx_11_0_arm64"),
}
PYZMQ, MSGPACK, FILESEQ, TOMLI = "pyzmq==27.3.0", "msgpack==1.2.4", "fileseq==3.4.0", "tomli==2.5.0"
MSGPACK_39 = "msgpack==1.1.2"  # the last one for Python 3.9

_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "2")
# Older pips hold a wheel's Python against their own, not against the one that was asked for; tags and pins say enough.
_ONLY_WHEELS = ("--only-binary=:all:", "--no-deps", "--ignore-requires-python")


@dataclass(frozen=True)
class WheelSet:
    """folder: of the plug-in, that they are unpacked into. requirements: pinned. tags: pip's options that say for
    which Python and platform; target: the same in words."""

    folder: str
    requirements: Tuple[str, ...]
    tags: Tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"{' and '.join(self.requirements)} for {self.target}"

    def download(self, wheelhouse: Path, find_links: Optional[Path] = None) -> None:
        """Put the wheels into a folder. Raises as `unpack`."""
        self._pip(["download", "--dest", str(wheelhouse)], find_links)

    def unpack(self, plugin: Path, find_links: Optional[Path] = None) -> None:
        """Unpack the wheels into the plug-in's folder.

        Args:
            find_links: a folder of wheels to take them from; no package index is asked then.

        Raises:
            InputError: pip finds no wheel, or fails otherwise. UsageError: this Python has no pip.
        """
        self._pip(["install", "--no-compile", "--no-user", "--target", str(plugin / self.folder)], find_links)

    def _pip(self, words: Sequence[str], find_links: Optional[Path]) -> None:
        source = ("--no-index", "--find-links", str(find_links)) if find_links else ()
        command = [*_PIP, *words, *_ONLY_WHEELS, *self.tags, *source, *self.requirements]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            raise self._failure(said, find_links)

    def _failure(self, said: str, find_links: Optional[Path]) -> VoidBridgeError:
        if "No module named pip" in said:
            return UsageError(f"{sys.executable} has no pip; run it with -m ensurepip, or copy a bundle made elsewhere")
        missing = re.findall(r"No matching distribution found for (\S+)", said)
        if missing:
            hint = "no package index? --find-links names a folder of wheels"
            if find_links:
                hint = "make the bundle for it too, or name the Pythons that you need with --python"
            where = f" in {find_links}" if find_links else ""
            return InputError(f"pip found no wheel of {missing[-1]} for {self.target}{where}; {hint}")
        return InputError(f"pip failed with {self}: {_reason(said)}")


def _reason(said: str) -> str:
    """The last of pip's errors, or of everything where it fell over."""
    lines = said.strip().splitlines() or ["it said nothing"]
    errors = [line for line in lines if line.startswith("ERROR:") and not line.startswith("ERROR: Exception")]
    return (errors or lines)[-1].replace("ERROR: ", "")[:300]


def pure_wheels() -> WheelSet:
    """What every host's Python runs as it is."""
    tags = ("--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.9")
    return WheelSet("python", (FILESEQ, TOMLI), tags, "any Python")


def compiled_wheels(python: str, platform: str) -> WheelSet:
    """What is built for one Python ("3.11") on one platform ("linux-x86_64").

    Raises:
        UsageError: a Python that no supported host runs, or an unknown platform.
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
