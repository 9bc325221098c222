"""The settings of a panel: the options of a job that an artist sees, and what only a host needs.

for spec in setting_specs():
    make_a_knob(spec)
settings = settings_from({spec.name: value_of_knob(spec) for spec in setting_specs()})

The options of a job are declared on `void_bridge.job.Job` alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Literal, Mapping, Optional, Sequence, Tuple, Type

from void_bridge.errors import UsageError
from void_bridge.job import Job
from void_bridge.options import GROUPS, PRIORITY, PRIORITY_MAX, TEXT_KINDS, Option, TransportChoice, option, options_of
from void_bridge.typed import nearest

INTEGER_MAX = 2**31 - 1
"""The largest number that the integer knobs of every host hold."""

Page = Literal["remove", "server"]


@dataclass(frozen=True)
class Settings:
    """The values of one node or window; the empty text stands for what its tip says.

    Attributes:
        job: the options of the job, as a panel holds them, by name: those that are not at their default.
    """

    frames_from: str = option(
        "input",
        label="frame range",
        tip="Frames to deliver. input: the plate's. global: the script's frame range. custom: the range in 'frames'.",
        group="Frames",
        choices=(("input", "input"), ("global", "global"), ("custom", "custom")),
    )
    frames: str = option(
        "", label="frames", tip="The range for custom, such as 1001-1046, 1-9x2 or -5--1,7.", group="Frames"
    )
    colorspace: str = option(
        "",
        label="colour space",
        tip="Colour space of the plate, a scene-linear one of the OCIO config. Empty: the script's working space.",
        group="Colour",
    )
    ocio_config: str = option(
        "",
        kind="file",
        label="OCIO config",
        tip="OCIO config: a file or an ocio:// name that the server can read. Empty: the script's config.",
        group="Colour",
    )
    folder: str = option(
        "",
        kind="folder",
        label="output folder",
        tip="Folder of the results. Each submission adds a version. Empty: the folder 'void' next to the script.",
        group="Output",
    )
    where: str = option(
        "local",
        label="run on",
        tip="this machine: a local server, which is started if none runs. server: the address on the Server page. "
        "farm: write plate and roto and submit the shot to a render manager; Submit first asks for the pool, the "
        "priority and so on.",
        group="Run",
        choices=(("local", "this machine"), ("server", "server"), ("farm", "farm")),
    )
    address: str = option(
        "",
        label="address",
        tip="Address of a server on another machine, such as tcp://gpu1:5570. Empty: the configured one.",
        group="Server",
    )
    transport: TransportChoice = option(
        "auto",
        label="transport",
        tip="How frames reach the server. path: it reads them from shared disks. inline: they are sent. auto: either.",
        group="Server",
    )
    priority: int = option(
        PRIORITY,
        label="priority",
        tip=f"Priority of the job, 0 to {PRIORITY_MAX}. The highest runs first.",
        group="Server",
        high=PRIORITY_MAX,
    )
    autostart: bool = option(
        True,
        label="start a local server",
        tip="Start a server on this machine if none answers.",
        group="Server",
    )
    job: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """Return a setting by its name, as a panel shows it."""
        return self.values()[name]

    def values(self, job: Type[Job] = Job) -> Dict[str, Any]:
        """Return every setting by its name, as `settings_from` reads them."""
        return {
            spec.name: self.job.get(spec.name, getattr(self, spec.name, spec.default))
            for spec in setting_specs(job=job)
        }

    def replace(self, **changes: object) -> Settings:
        """Return the same settings with other values; raises UsageError, as `settings_from`."""
        return settings_from({**self.values(), **changes})


def setting_specs(page: Optional[Page] = None, job: Type[Job] = Job) -> Tuple[Option, ...]:
    """Return the settings of a panel, or of one page, in order: under each heading the host's before the job's."""
    shown = (_as_setting(each) for each in options_of(job) if each.label and each.kind != "matte")
    specs = sorted((*options_of(Settings), *shown), key=lambda spec: GROUPS.index(spec.group))
    return tuple(spec for spec in specs if page in (None, "server" if spec.group == "Server" else "remove"))


def offered_specs(settings: Settings, engines: Sequence[str] = ()) -> Tuple[Option, ...]:
    """Return every setting, with the engines that a panel offers.

    Args:
        settings: the values to be shown; their engine is among those that are offered.
        engines: the engines of a server, as its welcome names them; none: those that are known here.
    """
    specs = {spec.name: spec for spec in setting_specs()}
    names = dict.fromkeys(("auto", *(engines or specs["engine"].values), settings["engine"]))
    specs["engine"] = dataclasses.replace(specs["engine"], choices=tuple((name, name) for name in names))
    return tuple(specs.values())


def matte_specs(job: Type[Job] = Job) -> Tuple[Option, ...]:
    """Return the mattes that a panel takes."""
    return tuple(each for each in options_of(job) if each.label and each.kind == "matte")


def settings_from(values: Mapping[str, object], job: Type[Job] = Job) -> Settings:
    """Return settings from the values of knobs. Those that are absent keep their default.

    Raises:
        UsageError: a name is unknown, or a value is of the wrong kind, or outside its range or choices.
    """
    specs = {spec.name: spec for spec in setting_specs(job=job)}
    checked = checked_values(tuple(specs.values()), values)
    own = {each.name: checked.pop(each.name) for each in options_of(Settings) if each.name in checked}
    return Settings(**own, job={name: value for name, value in checked.items() if value != specs[name].default})


def checked_values(specs: Sequence[Option], values: Mapping[str, object]) -> Dict[str, Any]:
    """Return values in the types of their settings; None counts as absent. Raises UsageError, as `settings_from`."""
    known = {spec.name: spec for spec in specs}
    for name in values:
        if name not in known:
            raise UsageError(f"unknown setting {name!r}{nearest(name, known)}")
    return {name: _from_knob(known[name], value) for name, value in values.items() if value is not None}


def _from_knob(spec: Option, value: Any) -> Any:
    """Return the value of a knob in the type of its setting; raises UsageError rather than change a value.

    Hosts give whole numbers as floats, and check boxes as 0 and 1. The text of a canvas or an exposure is read when a
    job is made: a mistake there must not keep a panel from opening, or an artist from cancelling a job.
    """
    if isinstance(value, str):
        return value.strip() if spec.kind in TEXT_KINDS else spec.parse(value.strip(), spec.label)
    if spec.kind == "flag" and value in (0, 1):
        value = bool(value)
    elif spec.kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    checked = spec.check(value, spec.label)
    if spec.kind == "auto":
        return str(checked)
    return float(checked) if spec.kind == "number" else checked


def _as_setting(declared: Option) -> Option:
    """Return an option of a job with its default as a panel shows it, and a limit that every host's knob holds."""
    default = declared.text(declared.default) if declared.kind in TEXT_KINDS else declared.default
    return dataclasses.replace(declared, default=default, high=min(declared.high, INTEGER_MAX))
