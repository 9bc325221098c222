"""Error messages for artists: names of knobs instead of command-line options, and a lead for each kind of error."""

from __future__ import annotations

import re
from typing import Tuple

from void_bridge.errors import (
    ColourError,
    DiskFull,
    MissingFrames,
    NoServer,
    OutOfMemory,
    OutputError,
    Refused,
    SizeMismatch,
    UnknownJob,
    VersionMismatch,
    VoidBridgeError,
)

_OPTIONS = (
    (r"give other --frames", "set another frame range"),
    (r"choose another place with -o, or give --overwrite", "choose another output folder"),
    (r"choose another place with -o", "choose another output folder"),
    (r"choose a writable place(?: with -o)?", "choose an output folder that can be written"),
    (r"name (it|another|the plate's space) with --colorspace", "write it into 'colour space'"),
    (r"start one with void-bridge serve", "turn on 'start a local server', or ask the server's administrator"),
    (r"--(?:remove|affected|keep)\b", "the roto inputs"),
    (r", or give --overwrite", ""),
    (r"--([a-z]+)(?:-([a-z]+))?", r"\1 \2"),
)

_ADVICE: Tuple[Tuple[type, str], ...] = (
    (MissingFrames, "Frames are missing on disk"),
    (SizeMismatch, "Plate and roto have different formats"),
    (ColourError, "The server cannot use this colour space"),
    (DiskFull, "The disk is full"),
    (OutputError, "The output folder cannot be used"),
    (VersionMismatch, "The server is of another version"),
    (Refused, "The server refuses"),
    (UnknownJob, "The server does not know this job any more; submit again"),
    (NoServer, "No server answers"),
    (OutOfMemory, "The GPU has too little memory; try a smaller canvas"),
)


def artist_message(error: BaseException) -> str:
    """Return an error as one line for a panel or a message box."""
    if not isinstance(error, VoidBridgeError):
        return f"Unexpected error: {type(error).__name__}: {error}; the log has more"
    detail = error.message
    for pattern, text in _OPTIONS:
        detail = re.sub(pattern, text, detail).strip()
    lead = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
    return f"{lead}: {detail}" if lead else detail[:1].upper() + detail[1:]
