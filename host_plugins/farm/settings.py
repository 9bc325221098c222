"""The settings of a farm submission, the same in every host, kept beside the script for the next submission."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Tuple

from host_plugins.control.settings import checked_values
from host_plugins.farm.options import GPU_MEMORY_GB
from void_bridge.atomic import write_bytes
from void_bridge.config import Config
from void_bridge.errors import UsageError, VoidBridgeError
from void_bridge.options import PRIORITY, PRIORITY_MAX, Option, option, options_of
from void_bridge.typed import to_plain

log = logging.getLogger(__name__)

FARMS = ("openjd", "deadline-cloud", "opencue", "deadline10")
THIS, EVERY = "this", "every"
STICKY_SUFFIX = ".void_bridge_farm.json"


@dataclass(frozen=True)
class FarmSettings:
    """The artist's choices for a farm submission.

    Attributes:
        shots: submit this node's shot or every shot.
        farm: the farm's name.
        pool: pool or queue, in the farm's own terms.
        priority: 0 to 100, highest first.
        gpu_memory: memory of a GPU host in GB; 0 asks for no GPU.
        chunk: frames in a task; 0 keeps the shot whole.
        comment: shown by the render manager.
        comp: whether the comp is rendered afterwards; hosts without comps leave it False.
        write: the Write node that renders it; empty renders all.
    """

    shots: str = option(
        THIS,
        label="shots",
        tip="Shots to submit, as one farm job.",
        group="Farm",
        choices=((THIS, THIS), (EVERY, EVERY)),
    )
    farm: str = option(
        FARMS[0],
        label="farm",
        tip="Render manager. openjd: run the farm job on this machine, in the background.",
        group="Farm",
        choices=tuple((name, name) for name in FARMS),
    )
    pool: str = option(
        "", label="pool or queue", tip="Pool or queue of the farm. Empty: the farm's default.", group="Farm"
    )
    priority: int = option(
        PRIORITY,
        label="priority",
        tip=f"Priority of the job, 0 to {PRIORITY_MAX}. The highest runs first.",
        group="Farm",
        high=PRIORITY_MAX,
    )
    gpu_memory: float = option(
        GPU_MEMORY_GB,
        label="GPU memory (GB, 0: no GPU)",
        tip="GPU memory that a worker must have for the void engine.",
        group="Farm",
        high=1024,
    )
    chunk: int = option(
        0,
        label="frames per task (0: whole shot)",
        tip="Frames per task, for engines that can split a shot. A shot of the void engine is never split.",
        group="Farm",
        high=1_000_000,
    )
    comment: str = option("", label="comment", tip="Comment that the render manager shows.", group="Farm")
    comp: bool = option(
        False,
        label="render this comp afterwards",
        tip="Render this script on the farm after the shots. The script is saved with the new version first.",
        group="Comp",
    )
    write: str = option("", label="Write node", tip="Write node to render. Empty: all of them.", group="Comp")

    @property
    def gpus(self) -> int:
        """The number of GPUs that a worker must have."""
        return 1 if self.gpu_memory else 0


def farm_specs(config: Config, this: str, every: str, comp: bool = False) -> Tuple[Option, ...]:
    """Return the settings that a host's dialog shows.

    Args:
        config: the configuration; its `farm` is offered too.
        this: the host's name for "this shot".
        every: the host's name for "every shot".
        comp: whether the host has comps to render.
    """
    names = dict.fromkeys((*FARMS, *([config.farm] if config.farm else [])))
    choices = {"shots": ((THIS, this), (EVERY, every)), "farm": tuple((name, name) for name in names)}
    specs = (spec for spec in options_of(FarmSettings) if comp or spec.group != "Comp")
    return tuple(dataclasses.replace(s, choices=choices.get(s.name, s.choices)) for s in specs)


def farm_settings_from(values: Mapping[str, object], config: Config) -> FarmSettings:
    """Return settings from plain values; absent ones come from the site's configuration.

    Raises:
        UsageError: a value is not valid.
    """
    given = {"farm": config.farm or FARMS[0], **values}
    return FarmSettings(**checked_values(farm_specs(config, THIS, EVERY, comp=True), given))


def sticky_text(settings: FarmSettings) -> str:
    """Return settings as the text of a sticky file."""
    return json.dumps(to_plain(settings), indent=1, ensure_ascii=False) + "\n"


def from_sticky_text(text: str, config: Config) -> FarmSettings:
    """Return settings from the text of a sticky file; missing or invalid values take their defaults."""
    try:
        kept = json.loads(text or "{}")
        return with_valid_values(farm_settings_from({}, config), kept, config)
    except (ValueError, AttributeError):
        return farm_settings_from({}, config)


def with_valid_values(settings: FarmSettings, values: Mapping[str, object], config: Config) -> FarmSettings:
    """Return `settings` with the valid ones of `values`, for a dialog that is shown again."""
    for name, value in values.items():
        try:
            valid = getattr(farm_settings_from({name: value}, config), name)
        except UsageError:
            continue
        settings = dataclasses.replace(settings, **{name: valid})
    return settings


def sticky_file(script: Path) -> Path:
    """Return the path `<script>.void_bridge_farm.json`, beside the script."""
    return script.with_name(script.stem + STICKY_SUFFIX)


def read_sticky(script: Path, config: Config) -> FarmSettings:
    """Return the settings that were kept for a script, or the defaults."""
    try:
        text = sticky_file(script).read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    return from_sticky_text(text, config)


def write_sticky(script: Path, settings: FarmSettings) -> None:
    """Keep settings for the next submission. A failure is logged and does not stop the submission."""
    try:
        write_bytes(sticky_file(script), sticky_text(settings).encode())
    except (VoidBridgeError, OSError) as exc:
        log.warning("cannot store the farm's settings: %s", exc)
