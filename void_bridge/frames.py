"""Frame ranges as values: parsed once, sorted, and printed in one way."""

from __future__ import annotations

import re
from bisect import bisect_left
from decimal import Decimal
from operator import eq
from typing import Container, Iterable, Iterator, List, Optional, Sequence, Tuple

from fileseq.exceptions import FileSeqException
from fileseq.frameset import FrameSet

from void_bridge.errors import FrameRangeError
from void_bridge.typed import short_repr

MAX_FRAMES = 100_000  # more than an hour
_MAX_TEXT = 2**16
_RANGE = re.compile(r"(-?\d{1,18})-(-?\d{1,18})(?:([xy:])(\d{1,18}))?")


class FrameRange:
    """An ordered set of frame numbers, such as `1001-1046`, `1-9x2`, `-5--1,7`.

    Frames are whole numbers, which may be negative; each is kept once, in ascending order. A range does not change.

    Examples:
        >>> FrameRange.parse("1-9x2,4")
        FrameRange('1,3-5,7,9')
    """

    __slots__ = ("_frames",)
    _frames: Sequence[int]

    def __init__(self, frames: Iterable[int]) -> None:
        object.__setattr__(self, "_frames", _compact(sorted(set(frames))))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a FrameRange cannot be changed; create another")

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Read a range in fileseq's syntax: `A`, `A-B`, `A-BxSTEP`, `A-BySTEP`, `A-B:STEP`, and lists of them.

        Raises:
            FrameRangeError: there is text behind the range, or it is empty, too long, no text or holds fractions.
        """
        if not isinstance(text, str):
            raise FrameRangeError(f"got {short_repr(text)}, expected text such as '1001-1046'")
        stripped = text.strip()
        _check_expansion(stripped)
        try:
            if re.search(r"\d\s+\d", stripped):  # which FrameSet reads as one number
                raise ValueError("two numbers without a comma")
            frames = FrameSet(stripped)
            if not 0 < len(frames) <= MAX_FRAMES:
                raise FrameRangeError(f"got {len(frames)} frames in {text[:80]!r}, expected 1 to {MAX_FRAMES}")
            numbers = list(frames)
        except (FileSeqException, ValueError, ArithmeticError) as exc:
            raise FrameRangeError(
                f"cannot read frame range {text[:80]!r}; expected for example 1001-1046, 1-9x2 or -5--1,7"
            ) from exc
        if any(isinstance(n, Decimal) for n in numbers):
            raise FrameRangeError(f"got fractions of frames in {text[:80]!r}, expected whole frame numbers")
        return cls(int(n) for n in numbers)

    @property
    def first(self) -> int:
        """The lowest frame."""
        return self._frames[0]

    @property
    def last(self) -> int:
        """The highest frame."""
        return self._frames[-1]

    @property
    def frames(self) -> Tuple[int, ...]:
        """All frames, in ascending order."""
        return tuple(self._frames)

    def runs(self) -> Tuple[Tuple[int, int], ...]:
        """Return the first and last frame of every unbroken run.

        >>> FrameRange.parse("1-3,7").runs()
        ((1, 3), (7, 7))
        """
        frames = set(self._frames)
        firsts = (frame for frame in self._frames if frame - 1 not in frames)
        lasts = (frame for frame in self._frames if frame + 1 not in frames)
        return tuple(zip(firsts, lasts))

    def with_handles(self, count: int, available: Container[int]) -> FrameRange:
        """Return this range with more frames at both ends, at the step that is found there.

        Args:
            count: the number of frames to add at each end.
            available: the frames that exist; the handles end at the first frame that is not among them.

        Raises:
            FrameRangeError: the count is negative.
        """
        if count < 0:
            raise FrameRangeError(f"got handles {count}, expected 0 or more")
        head_step = self._frames[1] - self.first if len(self) > 1 else 1
        tail_step = self.last - self._frames[-2] if len(self) > 1 else 1
        head = _unbroken((self.first - head_step * i for i in range(1, count + 1)), available)
        tail = _unbroken((self.last + tail_step * i for i in range(1, count + 1)), available)
        return FrameRange((*self._frames, *head, *tail))

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, frame: object) -> bool:
        index = bisect_left(self._frames, frame) if isinstance(frame, int) else len(self)
        return index < len(self) and self._frames[index] == frame

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameRange) and self._frames == other._frames

    def __hash__(self) -> int:
        return hash(self._frames)

    def __str__(self) -> str:
        return str(FrameSet.framesToFrameRange(self._frames)) if self._frames else ""

    def __repr__(self) -> str:
        return f"FrameRange({str(self)!r})"


def _compact(ordered: List[int]) -> Sequence[int]:
    """Return sorted numbers as a `range`, which takes no memory, if they are evenly spaced, else as a tuple."""
    if len(ordered) > 1:
        even = range(ordered[0], ordered[-1] + 1, ordered[1] - ordered[0])
        if len(even) == len(ordered) and all(map(eq, even, ordered)):
            return even
    return tuple(ordered)


def _check_expansion(text: str) -> None:
    """Raise FrameRangeError if the text is very long, or if fileseq would expand it to very many numbers."""
    if len(text) > _MAX_TEXT:
        raise FrameRangeError(f"got a frame range of {len(text)} characters, expected at most {_MAX_TEXT}")
    if re.search(r"\.\s*\d", text):
        raise FrameRangeError(f"got fractions of frames in {text[:80]!r}, expected whole frame numbers")
    found = _RANGE.finditer(re.sub(r"\s", "", text))
    count = sum(_expanded_count(abs(int(m[2]) - int(m[1])), m[3], int(m[4] or 1)) for m in found)
    if count > MAX_FRAMES:
        raise FrameRangeError(f"got {count} frames in {text[:80]!r}, expected 1 to {MAX_FRAMES}")


def _expanded_count(span: int, kind: Optional[str], step: int) -> int:
    """Return how many numbers fileseq expands: all of the span for `y`, and for `:` one more for each step to 1."""
    return span // max(step, 1) + 1 if kind == "x" else span + 1 + (step if kind else 0)


def _unbroken(frames: Iterable[int], available: Container[int]) -> Iterator[int]:
    """Yield frames up to the first that is not available."""
    for frame in frames:
        if frame not in available:
            return
        yield frame
