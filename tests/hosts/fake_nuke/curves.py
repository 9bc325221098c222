"""Animation curves, in Nuke's text form (the vendor's "Curve serialisation format"), as far as the fake needs them.

Interpolation K (constant) and L (linear). Keys without a letter are smooth, as those that a script sets: the fake knows
their value at the key, and between keys of the same value, and refuses to guess elsewhere. Extrapolation is constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Tuple

CONSTANT, LINEAR, SMOOTH = "K", "L", "S"


@dataclass(order=True)
class Key:
    x: float
    y: float = field(compare=False)
    interpolation: str = field(compare=False, default=SMOOTH)


@dataclass
class Curve:
    """Keys in the order of time."""

    keys: List[Key] = field(default_factory=list)

    def value(self, frame: float) -> float:
        before = [key for key in self.keys if key.x <= frame]
        if not before:
            return self.keys[0].y
        last = before[-1]
        if last.interpolation == CONSTANT or len(before) == len(self.keys):
            return last.y
        following = self.keys[len(before)]
        if last.interpolation == SMOOTH and frame != last.x and last.y != following.y:
            raise RuntimeError(f"the fake computes no smooth curve between the keys at {last.x} and {following.x}")
        return last.y + (following.y - last.y) * (frame - last.x) / (following.x - last.x)

    def set(self, frame: float, value: float, interpolation: str = SMOOTH) -> None:
        self.remove(frame)
        self.keys = sorted([*self.keys, Key(frame, value, interpolation)])

    def remove(self, frame: float) -> None:
        self.keys = [key for key in self.keys if key.x != frame]

    def copy(self) -> Curve:
        return Curve([Key(key.x, key.y, key.interpolation) for key in self.keys])

    def text(self) -> str:
        words, interpolation = ["curve"], SMOOTH
        for key in self.keys:
            if key.interpolation != interpolation:
                interpolation = key.interpolation
                words.append(interpolation)
            words += [f"x{number_text(key.x)}", number_text(key.y)]
        return " ".join(words)


def parse_curve(text: str) -> Curve:
    """Read `curve K x1001 1 x1011 0`. A key without x follows at the distance of the two before it.

    Raises:
        ValueError: another interpolation, slopes, or no number where one belongs.
    """
    words = text.split()
    if not words or words[0] != "curve":
        raise ValueError(f"got {text!r}, expected a curve: curve x1 0 x10 1")
    curve, interpolation, frame, placed = Curve(), SMOOTH, 0.0, False
    for word in words[1:]:
        if word in (CONSTANT, LINEAR, SMOOTH):
            interpolation = word
        elif word in ("i", "I", "k"):
            continue
        elif word[0] == "x":
            frame, placed = float(word[1:]), True
        else:
            frame = frame if placed else _next_frame(curve)
            curve.set(frame, _number(word, text), interpolation)
            placed = False
    return curve


def number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def split_fields(text: str) -> Tuple[str, ...]:
    """Return the words of a Tcl list, in which {braces} keep words together and are taken off."""
    words, depth, word = [], 0, ""
    for letter in text:
        if letter.isspace() and not depth:
            words += [word] if word else []
            word = ""
            continue
        if letter == "{":
            depth += 1
            if depth == 1:
                continue
        elif letter == "}":
            depth -= 1
            if depth == 0:
                words.append(word)
                word = ""
                continue
        word += letter
    if depth:
        raise ValueError(f"got {text!r}, expected as many closing braces as opening ones")
    return tuple([*words, word] if word else words)


def _next_frame(curve: Curve) -> float:
    if not curve.keys:
        return 0.0
    step = curve.keys[-1].x - curve.keys[-2].x if len(curve.keys) > 1 else curve.keys[-1].x
    return curve.keys[-1].x + step


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"the fake reads K, L, S and x in curves; got {word!r} in {text!r}") from None
