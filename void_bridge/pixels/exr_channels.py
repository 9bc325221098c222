"""Channel names as people write them, found over the layers and parts of an EXR."""

from __future__ import annotations

from typing import Dict, Iterable, Mapping, Protocol, Sequence, Tuple

from void_bridge.errors import NoSuchChannel
from void_bridge.typed import nearest

Place = Tuple[int, str]  # index of the part, name of the channel in it

_LONG_NAMES = {"red": "r", "green": "g", "blue": "b", "alpha": "a", "depth": "z"}
_MAIN_LAYERS = ("", "rgba", "rgb")
_BEAUTY_LAYERS = (*_MAIN_LAYERS, "beauty")


class _Part(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> Mapping[str, object]: ...


class _Frame(Protocol):
    @property
    def parts(self) -> Sequence[_Part]: ...


def find_in_frame(frame: _Frame, wanted: str, where: str = "the frame") -> Place:
    """Find a channel over all parts of an ExrFrame or ExrInfo.

    A channel is known by its own name (the first part that has it wins) and by `part.channel`. An empty `wanted` means
    the only channel, else A, else R. Otherwise the exact name wins; else the only name that is equal apart from case,
    long names (alpha, red) and the layer rgba.

    Args:
        frame: the frame.
        wanted: the channel.
        where: name of the frame in messages.

    Raises:
        NoSuchChannel: none or several match; the nearest names are offered.
    """
    places = channel_places(frame)
    if not wanted:
        return _default(places, where)
    alike = _alike(places, wanted)
    if len(set(alike.values())) == 1:
        return next(iter(alike.values()))
    if alike:
        raise NoSuchChannel(f"channel {wanted!r} of {where} could be {' or '.join(alike)}; give one of them")
    hint = nearest(wanted, places) or f"; it has {_listed(places)}"
    raise NoSuchChannel(f"found no channel {wanted!r} in {where}{hint}")


def channel_places(frame: _Frame) -> Dict[str, Place]:
    """Return every name by which a channel can be asked for, and its place."""
    places: Dict[str, Place] = {}
    for index, part in enumerate(frame.parts):
        for channel in part.channels:
            places.setdefault(channel, (index, channel))
            if part.name and not channel.startswith(f"{part.name}."):
                places.setdefault(f"{part.name}.{channel}", (index, channel))
    return places


def rgb_names(frame: _Frame, where: str = "the plate") -> Tuple[str, str, str]:
    """Return the names of red, green and blue in the part that is the picture (`picture_index`).

    Raises:
        NoSuchChannel: there are no such channels, also in a plate of luminance alone.
    """
    found = _picture(frame)
    if found:
        return found[1]
    raise NoSuchChannel(
        f"found no R, G and B in {where}; it has {_listed(channel_places(frame))}: render the plate as RGB"
    )


def picture_index(frame: _Frame) -> int:
    """Return the index of the part that is the picture: the one with the RGB, else the first.

    RGB is R, G, B without a layer, else in a layer rgba, rgb or beauty; in a part of such a name, else in the first
    part that has them. Of a stereo pair it is the first eye.
    """
    found = _picture(frame)
    return found[0] if found else 0


def _picture(frame: _Frame) -> Tuple[int, Tuple[str, str, str]] | None:
    for layers in (("",), _BEAUTY_LAYERS):
        found = [(i, names) for i, part in enumerate(frame.parts) if (names := _rgb(part.channels, layers))]
        if found:
            return min(found, key=lambda item: frame.parts[item[0]].name.lower() not in _BEAUTY_LAYERS)
    return None


def _rgb(channels: Iterable[str], layers: Sequence[str]) -> Tuple[str, str, str] | None:
    by_key = {_split(name): name for name in channels}
    for layer in layers:
        if all((layer, colour) in by_key for colour in "rgb"):
            return by_key[layer, "r"], by_key[layer, "g"], by_key[layer, "b"]
    return None


def _default(places: Mapping[str, Place], where: str) -> Place:
    if len(set(places.values())) == 1:
        return next(iter(places.values()))
    for name in ("A", "R"):
        alike = _alike(places, name)
        if len(set(alike.values())) == 1:
            return next(iter(alike.values()))
    raise NoSuchChannel(f"{where} has {_listed(places)}, but neither A nor R; name one, such as SEQ:layer.channel")


def _alike(places: Mapping[str, Place], wanted: str) -> Dict[str, Place]:
    if wanted in places:
        return {wanted: places[wanted]}
    return {name: place for name, place in places.items() if _key(name) == _key(wanted)}


def _split(name: str) -> Tuple[str, str]:
    layer, _, channel = name.lower().rpartition(".")
    return layer, _LONG_NAMES.get(channel, channel)


def _key(name: str) -> Tuple[str, str]:
    layer, channel = _split(name)
    return "" if layer in _MAIN_LAYERS else layer, channel


def _listed(places: Iterable[str]) -> str:
    names = list(places)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
