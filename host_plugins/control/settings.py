"""What an artist can set, said once: each host builds its panel from `setting_specs`, and reads it into `Settings`.

for spec in setting_specs():
    make_a_knob(spec)
settings = settings_from({spec.name: value_of_knob(spec) for spec in setting_specs()})
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Literal, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from void_bridge.errors import UsageError
from void_bridge.typed import nearest

Kind = Literal["text", "lines", "integer", "number", "flag", "choice", "folder", "file"]
Page = Literal["remove", "server", "farm"]
Choices = Tuple[Tuple[str, str], ...]  # value, what the artist reads
Values = TypeVar("Values")


@dataclass(frozen=True)
class SettingSpec:
    """One setting. low and high: of numbers, inclusive. group: the heading that it stands under, on its page."""

    name: str
    label: str
    kind: Kind
    default: Any
    tip: str
    group: str
    page: Page = "remove"
    choices: Choices = ()
    low: float = 0
    high: float = 0


def setting(label: str, kind: Kind, default: Any, tip: str, group: str, **more: Any) -> Any:
    """A field of a dataclass of settings, with its definition."""
    return dataclasses.field(
        default=default, metadata={"spec": SettingSpec("", label, kind, default, tip, group, **more)}
    )


_FRAMES, _SCENE, _ENGINE = "Frames", "Scene", "Engine"
_PIXELS, _COLOUR, _OUTPUT, _RUN = "Pixels", "Colour", "Output", "Run"


@dataclass(frozen=True)
class Settings:
    """The values of one node or window. Everything has a default; empty text means what its tip says."""

    frames_from: str = setting(
        "frame range",
        "choice",
        "input",
        "Which frames come out: those of the plate, those of the script, or the ones written behind.",
        _FRAMES,
        choices=(("input", "input"), ("global", "global"), ("custom", "custom")),
    )
    frames: str = setting("frames", "text", "", "For custom: 1001-1046, also 1-9x2 or -5--1,7.", _FRAMES)
    handles: int = setting(
        "handles",
        "integer",
        0,
        "Frames read beyond both ends, where the plate has more than the range. They often show what the cut hides. "
        "Not delivered.",
        _FRAMES,
        high=1000,
    )
    prompt: str = setting(
        "Scene after removal",
        "lines",
        "",
        "What is there once the object is gone: 'an empty sofa in a living room'. Describe, don't command.",
        _SCENE,
    )
    engine: str = setting(
        "engine",
        "choice",
        "auto",
        "propagate: real pixels from the other frames, on any machine. void: the model, which also removes what the "
        "object did to the scene; needs its weights and a GPU. auto: void where it can run.",
        _ENGINE,
        choices=(("auto", "auto"), ("propagate", "propagate"), ("void", "void")),
    )
    passes: str = setting(
        "passes",
        "choice",
        "auto",
        "Of the void engine. auto: a second pass where made-up things change their shape.",
        _ENGINE,
        choices=(("auto", "auto"), ("1", "1"), ("2", "2")),
    )
    fill: str = setting(
        "fill",
        "choice",
        "model",
        "hybrid: real pixels where only the object hid the background and another frame saw it.",
        _ENGINE,
        choices=(("model", "model"), ("hybrid", "hybrid")),
    )
    canvas: str = setting(
        "canvas", "text", "384x672", "Height x width of the picture that the model works on, multiples of 16.", _ENGINE
    )
    framing: str = setting(
        "framing",
        "choice",
        "held",
        "The crop that the model sees: one for the shot, or one that follows what is drawn.",
        _ENGINE,
        choices=(("held", "held"), ("moving", "moving")),
    )
    seed: int = setting(
        "seed",
        "integer",
        0,
        "Another number, another take. The same number gives the same pixels.",
        _ENGINE,
        high=2**31 - 1,
    )
    steps: int = setting(
        "steps", "integer", 30, "Quality: denoising steps of each pass. Time grows with it.", _ENGINE, low=1, high=200
    )
    precision: str = setting(
        "precision",
        "choice",
        "auto",
        "Quality: how the model computes. auto takes what fits the GPU.",
        _ENGINE,
        choices=tuple((name, name) for name in ("auto", "float32", "bf16", "fp8-stored", "fp8")),
    )
    model_fps: str = setting(
        "model frame rate",
        "choice",
        "native",
        "12: the model sees twelve frames a second, the rate at which it learned how things fall; those between are "
        "carried by flow.",
        _ENGINE,
        choices=(("native", "native"), ("12", "12")),
    )
    dilate: int = setting(
        "dilate",
        "integer",
        0,
        "Pixels of the plate by which what may change grows, at full weight.",
        _PIXELS,
        high=1000,
    )
    feather: int = setting(
        "feather", "integer", 4, "Pixels of the plate by which it grows further, fading out.", _PIXELS, high=1000
    )
    grain: bool = setting("grain", "flag", True, "Give the plate's grain back where interpolation took it.", _PIXELS)
    full_fill: bool = setting(
        "unmasked fill", "flag", False, "Also deliver the engine's picture without the paste matte.", _PIXELS
    )
    confidence: bool = setting(
        "confidence", "flag", False, "Also deliver a channel: 1 seen in another frame, 0 made up.", _PIXELS
    )
    exposure: str = setting(
        "exposure",
        "text",
        "auto",
        "Stops that bring the plate to normal for the model; auto measures them once.",
        _COLOUR,
    )
    colorspace: str = setting(
        "colour space",
        "text",
        "",
        "Of the plate, a name of the OCIO config. Empty: the working space of the script.",
        _COLOUR,
    )
    ocio_config: str = setting(
        "OCIO config", "file", "", "File or ocio:// name as the server sees it. Empty: the one of the script.", _COLOUR
    )
    folder: str = setting(
        "output folder",
        "folder",
        "",
        "Each submission makes a new version in it. Empty: the folder 'void' beside the script.",
        _OUTPUT,
    )
    where: str = setting(
        "run on",
        "choice",
        "local",
        "this machine: a server is started if none runs. server: the address on the Server page. "
        "farm: plate and roto are written and the shot is handed to a render manager; Submit asks for pool, priority "
        "and so on first.",
        _RUN,
        choices=(("local", "this machine"), ("server", "server"), ("farm", "farm")),
    )
    address: str = setting(
        "address",
        "text",
        "",
        "Of a server on another machine, such as tcp://gpu1:5570. Empty: as configured.",
        "Server",
        page="server",
    )
    transport: str = setting(
        "transport",
        "choice",
        "auto",
        "How frames reach the server. path: it sees the same disks. inline: they are sent. auto: whichever fits.",
        "Server",
        page="server",
        choices=(("auto", "auto"), ("path", "path"), ("inline", "inline")),
    )
    priority: int = setting(
        "priority", "integer", 50, "0 to 100, the highest goes first.", "Server", page="server", high=100
    )
    autostart: bool = setting(
        "start a local server", "flag", True, "Start one on this machine when none answers.", "Server", page="server"
    )


def setting_specs(page: Optional[Page] = None) -> Tuple[SettingSpec, ...]:
    """Every setting in the order of the panel, or those of one page."""
    return tuple(spec for spec in specs_of(Settings) if page in (None, spec.page))


def settings_from(values: Mapping[str, object]) -> Settings:
    """Settings from what knobs hold. Those absent keep their default.

    Raises:
        UsageError: an unknown name, a value of the wrong kind, or one outside its range or choices.
    """
    return values_from(Settings, setting_specs(), values)


def specs_of(cls: Type[Any]) -> Tuple[SettingSpec, ...]:
    """The definitions of a dataclass whose fields are `setting`s, in order."""
    fields = dataclasses.fields(cls)
    return tuple(dataclasses.replace(field.metadata["spec"], name=field.name) for field in fields)


def values_from(cls: Type[Values], specs: Sequence[SettingSpec], values: Mapping[str, object]) -> Values:
    """A dataclass of settings from plain values. Raises UsageError, as `settings_from`."""
    known = {spec.name: spec for spec in specs}
    checked: Dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"unknown setting {name!r}{nearest(name, known)}")
        checked[name] = _checked(known[name], value)
    return cls(**checked)


def _checked(spec: SettingSpec, value: object) -> Any:
    kind: Any = type(spec.default)
    try:
        typed: Any = value.strip() if isinstance(value, str) and kind is str else kind(value)
    except (TypeError, ValueError):
        raise UsageError(f"{spec.label}: got {value!r}, expected {spec.kind}") from None
    allowed = [choice for choice, _ in spec.choices]
    if allowed and typed not in allowed:
        raise UsageError(f"{spec.label}: got {typed!r}, expected one of {', '.join(allowed)}")
    if kind in (int, float) and not spec.low <= typed <= spec.high:
        raise UsageError(f"{spec.label}: got {typed}, expected {spec.low:.0f} to {spec.high:.0f}")
    return typed
