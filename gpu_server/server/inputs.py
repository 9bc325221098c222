"""Inputs that a job reads where they lie (`path` transport): mapped, inside the roots, unchanged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from void_bridge.errors import InputError, MissingFrames, Refused, UnreadableFile
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import InputFile


def resolve_inputs(inputs: Iterable[InputFile], roots: Sequence[str], path_map: PathMap) -> dict[str, str]:
    """Path as the job names it -> where the file lies here, symbolic links followed.

    Raises:
        Refused: a file outside the roots.
        MissingFrames: a file that this machine does not see.
        InputError: a file that is not as it was when the job was submitted.
    """
    allowed = [os.path.realpath(root) for root in roots]
    if not allowed:
        raise Refused("this server reads no paths of its clients; use --transport inline, or give it roots")
    files: dict[str, str] = {}
    for item in inputs:
        real = os.path.realpath(path_map.here(item.path))
        if not any(_within(real, root) for root in allowed):
            raise Refused(f"{item.path} lies outside the folders that this server may read; use --transport inline")
        files[item.path] = real
    check_unchanged(inputs, files)
    return files


def check_unchanged(inputs: Iterable[InputFile], files: Mapping[str, str]) -> None:
    """Raises MissingFrames, UnreadableFile, InputError: a file is not there, or not as it was when it was submitted."""
    for item in inputs:
        try:
            facts = Path(files[item.path]).stat()
        except FileNotFoundError:
            raise MissingFrames(
                f"this server sees no file {item.path}; check its path map, or use --transport inline"
            ) from None
        except OSError as exc:
            raise UnreadableFile(
                f"this server cannot read {item.path}: {exc.strerror}; use --transport inline"
            ) from exc
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{item.path} is not a file")
        if facts.st_size != item.size or (item.mtime_ns and facts.st_mtime_ns != item.mtime_ns):
            raise InputError(f"{item.path} has changed since the job was submitted; submit it again once it is written")


def _within(path: str, root: str) -> bool:
    try:
        return os.path.commonpath((path, root)) == root
    except ValueError:  # another drive
        return False
