"""What an artist asks of a farm, the same in every host, and keeps beside the script for the next time."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Tuple

from host_plugins.control.settings import SettingSpec, setting, specs_of, values_from
from host_plugins.farm.options import GPU_MEMORY_GB
from void_bridge.atomic import write_bytes
from void_bridge.config import Config
from void_bridge.errors import UsageError, VoidBridgeError
from void_bridge.typed import to_plain

log = logging.getLogger(__name__)

FARMS = ("openjd", "deadline-cloud", "opencue", "deadline10")
THIS, EVERY = "this", "every"
STICKY_SUFFIX = ".void_bridge_farm.json"
_FARM, _COMP = "Farm", "Comp"
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class FarmSettings:
    """What an artist asks of a farm. gpu_memory: of a host, in GB; 0: no GPU. chunk: frames a task, 0: the whole shot.

    comp, write: whether the comp is rendered afterwards, by which of its Write nodes; hosts that have none leave them.
    """

    shots: str = setting(
        "shots",
        "choice",
        THIS,
        "What is submitted, as one job of the farm.",
        _FARM,
        page="farm",
        choices=((THIS, THIS), (EVERY, EVERY)),
    )
    farm: str = setting(
        "farm",
        "choice",
        FARMS[0],
        "The render manager. openjd: the farm's job on this machine, in the background.",
        _FARM,
        page="farm",
        choices=tuple((name, name) for name in FARMS),
    )
    pool: str = setting(
        "pool or queue", "text", "", "In the farm's own words. Empty: as it is set up.", _FARM, page="farm"
    )
    priority: int = setting(
        "priority", "integer", 50, "0 to 100, the highest goes first.", _FARM, page="farm", high=100
    )
    gpu_memory: float = setting(
        "GPU memory (GB, 0: no GPU)", "number", GPU_MEMORY_GB, "Of a worker for void.", _FARM, page="farm", high=1024
    )
    chunk: int = setting(
        "frames a task (0: whole shot)",
        "integer",
        0,
        "For engines whose shots can be cut; void's never are.",
        _FARM,
        page="farm",
        high=_MOST_FRAMES,
    )
    comment: str = setting("comment", "text", "", "Shown by the render manager.", _FARM, page="farm")
    comp: bool = setting(
        "render this comp afterwards",
        "flag",
        False,
        "The script is saved at once, so that the farm renders the new version.",
        _COMP,
        page="farm",
    )
    write: str = setting("by the Write", "text", "", "Name of the Write node. Empty: all of them.", _COMP, page="farm")

    @property
    def gpus(self) -> int:
        return 1 if self.gpu_memory else 0


def farm_specs(config: Config, this: str, every: str, comp: bool = False) -> Tuple[SettingSpec, ...]:
    """What a host's dialog shows.

    Args:
        this, every: what the choices of `shots` are called there. comp: whether the host has comps to render.
    """
    names = dict.fromkeys((*FARMS, *([config.farm] if config.farm else [])))
    choices = {"shots": ((THIS, this), (EVERY, every)), "farm": tuple((name, name) for name in names)}
    specs = (spec for spec in specs_of(FarmSettings) if comp or spec.group != _COMP)
    return tuple(dataclasses.replace(s, choices=choices.get(s.name, s.choices)) for s in specs)


def farm_settings_from(values: Mapping[str, object], config: Config) -> FarmSettings:
    """Those absent are as the site has configured them. Raises UsageError: one that makes no sense."""
    given = {"farm": config.farm or FARMS[0], **values}
    return values_from(FarmSettings, farm_specs(config, THIS, EVERY, comp=True), given)


def sticky_text(settings: FarmSettings) -> str:
    return json.dumps(to_plain(settings), indent=1, ensure_ascii=False) + "\n"


def from_sticky_text(text: str, config: Config) -> FarmSettings:
    """What was kept; defaults for what is not there or makes no sense any more."""
    try:
        kept = json.loads(text or "{}")
        return with_sound(farm_settings_from({}, config), kept, config)
    except (ValueError, AttributeError):
        return farm_settings_from({}, config)


def with_sound(settings: FarmSettings, values: Mapping[str, object], config: Config) -> FarmSettings:
    """`settings`, with those of the values that make sense: for a dialog that is shown again."""
    for name, value in values.items():
        try:
            sound = getattr(farm_settings_from({name: value}, config), name)
        except UsageError:
            continue
        settings = dataclasses.replace(settings, **{name: sound})
    return settings


def sticky_file(script: Path) -> Path:
    """`<script>.void_bridge_farm.json`, beside it."""
    return script.with_name(script.stem + STICKY_SUFFIX)


def read_sticky(script: Path, config: Config) -> FarmSettings:
    """As last time in this script; defaults where there is no file, or none that can be read."""
    try:
        text = sticky_file(script).read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    return from_sticky_text(text, config)


def write_sticky(script: Path, settings: FarmSettings) -> None:
    """For the next time. That it cannot be written keeps nobody from submitting."""
    try:
        write_bytes(sticky_file(script), sticky_text(settings).encode())
    except (VoidBridgeError, OSError) as exc:
        log.warning("the farm's settings are not kept: %s", exc)
