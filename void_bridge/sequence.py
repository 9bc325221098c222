"""File sequences as values: a pattern, the files that it names, and the frames on disk.

These patterns are read: `name.####.exr` (a digit for each #, as in Nuke), `name.%04d.exr`, and `name.1001-1046#.exr`
(one # behind a range is four digits, as in fileseq). A name without a frame token is a still, one file that stands for
every frame.
"""

from __future__ import annotations

import ntpath
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Container, Optional, Set, Tuple

from fileseq.constants import PAD_STYLE_HASH1
from fileseq.exceptions import FileSeqException
from fileseq.filesequence import FileSequence

from void_bridge.errors import MissingFrames, UnreadableFile, UsageError
from void_bridge.frames import FrameRange
from void_bridge.typed import short_repr

_FRAME_TOKEN = re.compile(r"#+|@+|%\d*d|\$F\d*")
_TOO_MANY_DIGITS = re.compile(r"%\d{3,}d|\$F\d{3,}")  # which would be written out
_MAX_NAME = 1024  # no file system has longer ones
_OTHER_FORMATS = {".avi", ".dpx", ".jpeg", ".jpg", ".mov", ".mp4", ".mxf", ".png", ".tif", ".tiff"}


@dataclass(frozen=True)
class Sequence:
    """A sequence of files, or a still.

    Attributes:
        folder: the folder with its last separator, or empty.
        base: the part of a name before the frame number.
        digits: the least number of characters of a frame number, its minus sign included; 0 is a still.
        extension: the part of a name behind the frame number.
        frames_in_name: the frames that the pattern names itself; it matches the others, too.

    Examples:
        >>> Sequence.parse("/p/plate.%04d.exr").path(-3).name
        'plate.-003.exr'
    """

    folder: str
    base: str
    digits: int
    extension: str
    frames_in_name: Optional[FrameRange] = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Sequence:
        """Read a pattern.

        Raises:
            UsageError: the text is empty, a folder, no text, or has frame tokens that cannot be read.
        """
        if not isinstance(text, str):
            raise UsageError(f"got {short_repr(text)}, expected text such as 'name.####.exr'")
        folder, name = _split(text)
        if not name or name in (".", ".."):
            raise UsageError(f"got the folder {text!r}, expected files in it, such as name.####.exr")
        if len(name) > _MAX_NAME or _TOO_MANY_DIGITS.search(name):
            raise _unreadable(text)
        try:
            found = FileSequence(name, pad_style=PAD_STYLE_HASH1)
        except FileSeqException as exc:
            raise _unreadable(text) from exc
        padding, frames_in_name = str(found.padding()), _frames_in_name(found)
        if not padding or padding not in name:
            base, digits, extension = _still(name)
        elif _FRAME_TOKEN.fullmatch(padding):
            base, extension = str(found.basename()), str(found.extension())
            digits = 4 if frames_in_name and padding == "#" else int(found.zfill())
        else:
            raise _unreadable(text)
        if _FRAME_TOKEN.search(base + extension):
            raise _unreadable(text)
        return cls(folder, base, digits, extension, frames_in_name)

    @property
    def is_still(self) -> bool:
        """Whether this is one file that stands for every frame."""
        return self.digits == 0

    @property
    def pattern(self) -> str:
        """The pattern with a # for each digit, which `parse` reads back."""
        return f"{self.folder}{self.base}{'#' * self.digits}{self.extension}"

    def __str__(self) -> str:
        return self.pattern

    def path(self, frame: int) -> Path:
        """Return the file of a frame."""
        return Path(self.folder + self._name(frame))

    def absolute(self) -> Sequence:
        """Return the same sequence with a path from the root. One with a drive or share stays as it is."""
        if ntpath.splitdrive(self.folder)[0]:
            return self
        folder = os.path.join(os.path.abspath(self.folder or "."), "")  # noqa: PTH100, PTH118  keeps symbolic links
        return Sequence(folder, self.base, self.digits, self.extension, self.frames_in_name)

    def frames_on_disk(self) -> FrameRange:
        """Return the frames on disk, which may be none, from one listing of the folder.

        A still has one frame: the number in its name, else 1.

        Raises:
            UnreadableFile: the folder cannot be listed.
        """
        if self.is_still:
            return (self.frames_in_name or FrameRange([1])) if self._is_file() else FrameRange([])
        number = re.compile(re.escape(self.base) + r"(-?\d+)" + re.escape(self.extension))
        matches = (number.fullmatch(name) for name in self._listing())
        frames = ((int(match[1]), match[0]) for match in matches if match)
        return FrameRange(frame for frame, name in frames if name == self._name(frame))

    def require(self, frames: FrameRange) -> None:
        """Check that frames are on disk.

        Raises:
            MissingFrames: one of them is not.
        """
        on_disk = set(frames) if self.is_still and self._is_file() else set(self.frames_on_disk())
        missing = FrameRange(frame for frame in frames if frame not in on_disk)
        if not missing:
            return
        found = f"the folder has {FrameRange(on_disk)}" if on_disk else "no frame of it is on disk"
        raise MissingFrames(f"missing {missing} of {frames} in {self}; {found}: render them or give other --frames")

    def frames_among(self, paths: Container[str]) -> Container[int]:
        """Return the frames of this sequence whose paths are among `paths`."""
        return _FramesAmong(self, paths)

    def _is_file(self) -> bool:
        return os.path.isfile(self.path(1))  # noqa: PTH113  a name that is too long is none either

    def _name(self, frame: int) -> str:
        number = f"{frame:0{self.digits}d}" if self.digits else ""
        return f"{self.base}{number}{self.extension}"

    def _listing(self) -> Set[str]:
        try:
            return set(os.listdir(self.folder or "."))  # noqa: PTH208  names alone, no stat
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as exc:
            raise UnreadableFile(f"cannot list {self.folder}: {exc.strerror}; check its permissions") from exc


@dataclass(frozen=True)
class _FramesAmong:
    sequence: Sequence
    paths: Container[str]

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and str(self.sequence.path(frame)) in self.paths


def output_sequence(argument: str, plate: Sequence) -> Sequence:
    """Return the sequence that frames are written to.

    Args:
        argument: a pattern that ends in .exr, or a folder for `<plate>_void.####.exr`.
        plate: the plate.

    Raises:
        UsageError: another file format, or one file for a sequence of frames.
    """
    suffix = Path(argument).suffix.lower()
    if suffix == ".exr":
        return _output_pattern(argument, plate)
    if suffix in _OTHER_FORMATS or not argument or _FRAME_TOKEN.search(_split(argument)[1]):
        raise UsageError(f"got output {argument!r}, expected name.####.exr or a folder")
    folder = argument if argument[-1] in "/\\" else argument + _separator(argument)
    return Sequence(folder, f"{plate.base.rstrip('._- ') or 'plate'}_void.", plate.digits or 4, ".exr")


def _output_pattern(argument: str, plate: Sequence) -> Sequence:
    output = Sequence.parse(argument)
    if output.is_still and not plate.is_still:
        raise UsageError(f"got output {argument!r} for a sequence, expected a frame token such as name.####.exr")
    return output


def _separator(path: str) -> str:
    return "\\" if "\\" in path and "/" not in path else "/"


def _split(text: str) -> Tuple[str, str]:
    cut = max(text.rfind("/"), text.rfind("\\")) + 1
    return text[:cut], text[cut:]


def _still(name: str) -> Tuple[str, int, str]:
    stem, dot, extension = name.rpartition(".")
    return (stem, 0, dot + extension) if stem else (name, 0, "")


def _frames_in_name(found: FileSequence) -> Optional[FrameRange]:
    text = str(found.frameRange() or "")
    return FrameRange.parse(text) if text else None


def _unreadable(text: str) -> UsageError:
    return UsageError(
        f"cannot read {text[:200]!r} as files; expected name.####.exr, name.%04d.exr or name.1001-1046#.exr"
    )
