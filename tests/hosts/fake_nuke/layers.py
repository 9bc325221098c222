"""The script's layers and channels."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Sequence

from tests.hosts.fake_nuke.api import ApiObject, current

_BUILT_IN = {
    "rgb": ["rgba.red", "rgba.green", "rgba.blue"],
    "rgba": ["rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"],
    "alpha": ["rgba.alpha"],
    "depth": ["depth.Z"],
    "forward": ["forward.u", "forward.v"],
    "backward": ["backward.u", "backward.v"],
    "mask": ["mask.a"],
}
SHORT = {name: f"rgba.{name}" for name in ("red", "green", "blue", "alpha")}


class Layers:
    """Layer -> its channels, in order."""

    def __init__(self) -> None:
        self._table: Dict[str, List[str]] = {name: list(channels) for name, channels in _BUILT_IN.items()}

    def add(self, name: str, channels: Iterable[str]) -> None:
        """Add channels to a layer. Raises ValueError: a channel of another layer, or a name that Nuke reserves."""
        for channel in channels:
            if channel.count(".") != 1 or channel.split(".")[0] != name:
                raise ValueError(f"layer {name}: got the channel {channel!r}, expected {name}.something")
            if name in _BUILT_IN and channel not in _BUILT_IN[name]:
                raise ValueError(f"got {channel}, but Nuke keeps the layer {name} to itself")
            self._table.setdefault(name, [])
            if channel not in self._table[name]:
                self._table[name].append(channel)

    def channels(self) -> List[str]:
        return list(dict.fromkeys(channel for channels in self._table.values() for channel in channels))

    def own(self) -> Dict[str, List[str]]:
        """Return the layers that are not built in."""
        return {name: channels for name, channels in self._table.items() if name not in _BUILT_IN}

    def full(self, name: str) -> Optional[str]:
        """Return the full name, such as `rgba.alpha` for `alpha`; None if there is no such channel."""
        name = SHORT.get(name, name)
        return name if name in self.channels() else None

    def expand(self, mask: str, present: Sequence[str]) -> List[str]:
        """Return the channels that a knob's text names; `present` is the meaning of `all`."""
        chosen: List[str] = []
        for word in mask.strip("{}").split():
            if word == "all":
                chosen += present
            elif word in self._table:
                chosen += self._table[word]
            elif word != "none":
                chosen += [self.full(word) or word]
        return list(dict.fromkeys(chosen))

    def require(self, word: str, knob: str) -> None:
        if word not in ("all", "none") and word not in self._table and self.full(word) is None:
            raise ValueError(f"{knob}: the script has no channel or layer {word!r}; make it with nuke.Layer first")


class Layer(ApiObject):
    """A layer: `nuke.Layer(name, [layer.channel, ...])` adds it to the script's layers."""

    def __init__(self, name: str, channels: Sequence[str] = ()) -> None:
        self._layer = name
        current().layers.add(name, channels)
