"""Frame ranges as a value: parsed once, sorted, printed the same way everywhere."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Container, Iterable, Iterator, Tuple

from fileseq.exceptions import FileSeqException
from fileseq.frameset import FrameSet

from void_bridge.errors import FrameRangeError

_MAX_FRAMES = 1_000_000


class FrameRange:
    """An ordered set of frame numbers, such as `1001-1046`, `1-9x2`, `-5--1,7`.

    Frames are whole numbers, negatives allowed, kept ascending and once each.

    >>> FrameRange.parse("1-9x2,4")
    FrameRange('1,3-5,7,9')
    """

    __slots__ = ("_frames",)
    _frames: Tuple[int, ...]

    def __init__(self, frames: Iterable[int]) -> None:
        object.__setattr__(self, "_frames", tuple(sorted(set(frames))))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a FrameRange does not change; make another")

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Read fileseq's syntax: `A`, `A-B`, `A-BxSTEP`, `A-By STEP`, `A-B:STEP`, and lists of them.

        Raises:
            FrameRangeError: text behind the range, an empty range, fractions of frames.
        """
        stripped = text.strip()
        try:
            if re.search(r"\d\s+\d", stripped):  # which FrameSet reads as one number
                raise ValueError("two numbers without a comma")
            frames = FrameSet(stripped)
            if not 0 < len(frames) <= _MAX_FRAMES:
                raise FrameRangeError(f"got {len(frames)} frames in {text!r}, expected 1 to {_MAX_FRAMES}")
            numbers = list(frames)
        except (FileSeqException, ValueError) as exc:
            raise FrameRangeError(
                f"cannot read frame range {text!r}; expected for example 1001-1046, 1-9x2 or -5--1,7"
            ) from exc
        if any(isinstance(n, Decimal) for n in numbers):
            raise FrameRangeError(f"got fractions of frames in {text!r}, expected whole frame numbers")
        return cls(int(n) for n in numbers)

    @property
    def first(self) -> int:
        return self._frames[0]

    @property
    def last(self) -> int:
        return self._frames[-1]

    @property
    def frames(self) -> Tuple[int, ...]:
        return self._frames

    def runs(self) -> Tuple[Tuple[int, int], ...]:
        """First and last of every unbroken run.

        >>> FrameRange.parse("1-3,7").runs()
        ((1, 3), (7, 7))
        """
        held = set(self._frames)
        firsts = (frame for frame in self._frames if frame - 1 not in held)
        lasts = (frame for frame in self._frames if frame + 1 not in held)
        return tuple(zip(firsts, lasts))

    def with_handles(self, count: int, available: Container[int]) -> FrameRange:
        """`count` more frames at both ends, at the step found there, as far as `available` has them."""
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
        return frame in self._frames

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameRange) and self._frames == other._frames

    def __hash__(self) -> int:
        return hash(self._frames)

    def __str__(self) -> str:
        return str(FrameSet.framesToFrameRange(self._frames)) if self._frames else ""

    def __repr__(self) -> str:
        return f"FrameRange({str(self)!r})"


def _unbroken(wanted: Iterable[int], held: Container[int]) -> Iterator[int]:
    for frame in wanted:
        if frame not in held:
            return
        yield frame
