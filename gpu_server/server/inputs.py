"""Checks of the files that a job reads in place (`path` transport): mapped, inside the roots, unchanged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from void_bridge.errors import ColourError, InputError, MissingFrames, Refused, UnreadableFile
from void_bridge.job import Colour
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import InputFile
from void_bridge.real_paths import check_no_link, is_within

_CONFIG_BYTES_MAX = 256 * 2**20
_PATH_MAX = 32_767 if os.name == "nt" else 4096  # following a longer one takes time with its square


def resolve_inputs(inputs: Iterable[InputFile], roots: Sequence[str], path_map: PathMap) -> dict[str, str]:
    """Find the files of a job on this machine.

    Args:
        inputs: the files as the job names them.
        roots: folders that this server may read.
        path_map: from the client's paths to this machine's.

    Returns:
        Path as the job names it -> where the file lies here, symbolic links followed.

    Raises:
        Refused: a file outside the roots, or what cannot be a path.
        MissingFrames: a file that this machine does not see.
        InputError: a file that is not as it was when the job was submitted.
    """
    allowed = [os.path.realpath(root) for root in roots]
    if not allowed:
        raise Refused(
            "this server does not read its clients' paths; use --transport inline, or set roots on the server"
        )
    files: dict[str, str] = {}
    for item in inputs:
        real = _real(path_map.to_local(item.path))
        if not any(is_within(real, root) for root in allowed):
            raise Refused(f"{item.path} is outside the folders that this server may read; use --transport inline")
        files[item.path] = real
    check_unchanged(inputs, files)
    return files


def check_unchanged(inputs: Iterable[InputFile], files: Mapping[str, str]) -> None:
    """Raise if a file is not as it was when it was submitted.

    No file is opened, so that a pipe or a device does not stall the server.

    Args:
        inputs: the files as the job names them.
        files: path as the job names it -> where it lies here.

    Raises:
        MissingFrames: a file is not there.
        UnreadableFile: it cannot be read.
        InputError: it has changed, or is no file.
        Refused: it lies elsewhere by now, as a folder above it has become a link.
    """
    for item in inputs:
        check_no_link(files[item.path], item.path)
        try:
            facts = Path(files[item.path]).stat()
        except FileNotFoundError:
            raise MissingFrames(
                f"this server finds no file {item.path}; check its path_map, or use --transport inline"
            ) from None
        except OSError as exc:
            raise UnreadableFile(
                f"this server cannot read {item.path}: {exc.strerror}; use --transport inline"
            ) from exc
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{item.path} is not a file")
        if facts.st_size != item.size or (item.mtime_ns and facts.st_mtime_ns != item.mtime_ns):
            raise InputError(f"{item.path} has changed since the job was submitted; submit it again once it is written")


def check_config(colour: Colour, roots: Sequence[str] = ()) -> None:
    """Raise if a client may not name this OCIO config: it must know the file's hash, or the file lies inside the roots.

    Args:
        colour: of the job, with the config.
        roots: folders that this server may read.

    Raises:
        ColourError: it cannot be that.
    """
    if colour.config.startswith("ocio://"):
        return
    try:
        path = Path(colour.config).expanduser()
        facts, real = path.stat(), os.path.realpath(path)
    except (OSError, ValueError, RuntimeError) as exc:
        raise ColourError(f"cannot read OCIO config {colour.config}: {exc}; name one that the server has") from exc
    if not colour.config_hash and not any(is_within(real, os.path.realpath(root)) for root in roots):
        raise ColourError(
            f"got OCIO config {colour.config} without its hash, outside the folders that this server may read"
        )
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > _CONFIG_BYTES_MAX:
        raise ColourError(
            f"{colour.config} is not an OCIO config: expected a file of up to {_CONFIG_BYTES_MAX >> 20} MB"
        )


def _real(path: str) -> str:
    if len(path) > _PATH_MAX:
        raise Refused(f"got a path of {len(path)} characters, expected up to {_PATH_MAX}")
    try:
        return os.path.realpath(path)
    except (ValueError, OSError) as exc:
        raise Refused(f"got {path[:80]!r}, which cannot be a path: {exc}") from exc
