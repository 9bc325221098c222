"""Colour through OpenColorIO: the space of a plate, and lossless conversions from there (docs/reference/colour.md).

Processors are cached and safe to use from any thread.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np
import PyOpenColorIO as ocio  # type: ignore[import-untyped]

from void_bridge.config import BUILTIN_CONFIG
from void_bridge.errors import ColourError
from void_bridge.job import Colour
from void_bridge.pixels.arrays import Array
from void_bridge.typed import nearest

_BUILTIN = "ocio://"

# Spaces that every built-in config knows by these names.
_LINEAR_SRGB = "Linear Rec.709 (sRGB)"
_ENCODED_SRGB = "srgb_tx"


def resolve_colour(
    space: Optional[str],
    config: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    header: Optional[Mapping[str, object]] = None,
) -> Colour:
    """Return the colour of a job; see `explain_colour`."""
    return explain_colour(space, config, env, header)[0]


def explain_colour(
    space: Optional[str],
    config: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    header: Optional[Mapping[str, object]] = None,
) -> Tuple[Colour, str]:
    """Return the colour of a job, and a sentence that says which space and config were taken and why.

    Args:
        space: a colour space, alias or role of the config. None: the space that the plate's header states, else the
            config's role scene_linear.
        config: `ocio://` name or file. None: `OCIO` of `env`, else `BUILTIN_CONFIG`.
        env: the environment; None: this process's.
        header: header of a plate's EXR file, of which `colorInteropID` and `acesImageContainerFlag` are read.

    Returns:
        The space under its own name, never an alias. `ocio://default` becomes the config that it stands for.

    Raises:
        ColourError: a config that cannot be read; an unknown space (the nearest names are offered); a space that is not
            linear, or has no conversion to linear Rec.709.
    """
    environment = os.environ if env is None else env
    name = config or environment.get("OCIO") or BUILTIN_CONFIG
    config_origin = "as given" if config else "from $OCIO" if environment.get("OCIO") else "built in"
    if name.startswith(_BUILTIN):
        name, config_hash = ocio.ResolveConfigPath(name), ""
    else:
        name, config_hash = str(Path(name).expanduser().resolve()), _file_hash(name)
    loaded = _config(name, config_hash)
    wanted, space_origin = _wanted_space(loaded, space, header or {}, name)
    colour = Colour(_linear_space(loaded, wanted, name), name, config_hash)
    check_colour(colour)
    return colour, f"colour space {colour.space} ({space_origin}) of {name} ({config_origin})"


def check_colour(colour: Colour) -> None:
    """Raise unless a job's colour still means the same as when it was resolved.

    Raises:
        ColourError: the config cannot be read or has changed, or the space is missing or not linear.
    """
    _refuse_changed(colour.config, colour.config_hash)
    _linear_space(_config(colour.config, colour.config_hash), colour.space, colour.config)
    _processor(colour.config, colour.config_hash, colour.space, "to linear")


def to_linear_srgb(rgb: Array, colour: Colour) -> Array:
    """Convert from the working space to linear Rec.709.

    Args:
        rgb: shape [..., 3], any range.
        colour: names the working space.

    Returns:
        A new array, shape [..., 3].

    Raises:
        ColourError: see `check_colour`.
    """
    return _applied(_processor(colour.config, colour.config_hash, colour.space, "to linear"), rgb)


def from_linear_srgb(rgb: Array, colour: Colour) -> Array:
    """Convert from linear Rec.709 to the working space; the inverse of `to_linear_srgb`."""
    return _applied(_processor(colour.config, colour.config_hash, colour.space, "from linear"), rgb)


def from_encoded_srgb(rgb: Array, colour: Colour) -> Array:
    """Convert a movie's display-referred sRGB to the working space.

    Args:
        rgb: shape [..., 3], in [0, 1].
        colour: names the working space.

    Raises:
        ColourError: see `check_colour`.
    """
    return _applied(_processor(colour.config, colour.config_hash, colour.space, "from encoded"), rgb)


def interop_id(colour: Colour) -> Dict[str, str]:
    """Return the EXR header that states the working space to other programs; empty if the space has no agreed name.

    The names are those of the Color Interop Forum, which the built-in configs have as aliases.
    """
    aliases = _config(colour.config, colour.config_hash).getColorSpace(colour.space).getAliases()
    agreed = [alias for alias in aliases if alias.startswith("lin_") and alias.endswith("_scene")]
    return {"colorInteropID": agreed[0]} if agreed else {}


def displays(colour: Colour) -> Dict[str, List[str]]:
    """List the views of each display, the default display and its default view first.

    Raises:
        ColourError: the config cannot be read.
    """
    config = _config(colour.config, colour.config_hash)
    names = sorted(config.getDisplays(), key=lambda display: display != config.getDefaultDisplay())
    return {name: sorted(config.getViews(name), key=lambda view: view != config.getDefaultView(name)) for name in names}


def to_display(rgb: Array, colour: Colour, display: str = "", view: str = "") -> Array:
    """Convert to the pixels that a monitor is sent.

    Args:
        rgb: shape [..., 3], linear, in the working space.
        colour: names the working space.
        display: a display of the config; empty for its default.
        view: a view of the display; empty for its default.

    Returns:
        Shape [..., 3], display-encoded, about [0, 1].

    Raises:
        ColourError: there is no such display or view; the existing ones are named.
    """
    known = displays(colour)
    display = display or next(iter(known))
    if display not in known:
        raise ColourError(f"got display {display!r}, expected one of {', '.join(known)}")
    view = view or known[display][0]
    if view not in known[display]:
        raise ColourError(f"got view {view!r} of {display}, expected one of {', '.join(known[display])}")
    return _applied(_display_processor(colour.config, colour.config_hash, colour.space, display, view), rgb)


def _applied(processor: ocio.CPUProcessor, rgb: Array) -> Array:
    assert rgb.shape[-1] == 3, f"got shape {rgb.shape}, expected [..., 3]"
    pixels = np.array(rgb, np.float32, order="C")
    if pixels.size:
        processor.apply(ocio.PackedImageDesc(pixels, pixels.size // 3, 1, 3))
    return pixels


@lru_cache(maxsize=32)
def _processor(config: str, config_hash: str, space: str, way: str) -> ocio.CPUProcessor:
    loaded = _config(config, config_hash)
    try:
        if way == "to linear":
            processor = ocio.Config.GetProcessorToBuiltinColorSpace(loaded, space, _LINEAR_SRGB)
        else:
            source = _LINEAR_SRGB if way == "from linear" else _ENCODED_SRGB
            processor = ocio.Config.GetProcessorFromBuiltinColorSpace(source, loaded, space)
    except ocio.Exception as exc:
        raise ColourError(
            f"{config} does not define how {space} relates to other configs; give its reference space the role"
            f" aces_interchange, or use another config ({exc})"
        ) from exc
    return processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)


@lru_cache(maxsize=8)
def _display_processor(config: str, config_hash: str, space: str, display: str, view: str) -> ocio.CPUProcessor:
    try:
        transform = ocio.DisplayViewTransform(src=space, display=display, view=view)
        return _config(config, config_hash).getProcessor(transform).getDefaultCPUProcessor()
    except ocio.Exception as exc:
        raise ColourError(
            f"cannot show {space} on {display}, {view}: {exc}; choose another --display or --view"
        ) from exc


@lru_cache(maxsize=8)
def _config(name: str, config_hash: str) -> ocio.Config:
    _refuse_changed(name, config_hash)
    try:
        return ocio.Config.CreateFromFile(name)
    except ocio.Exception as exc:
        raise ColourError(f"cannot read OCIO config {name}: {exc}; check $OCIO, or name another") from exc


def _refuse_changed(config: str, config_hash: str) -> None:
    if config_hash and _file_hash(config) != config_hash:
        raise ColourError(
            f"{config} is not the config that this job was submitted with; restore it, or submit the job again"
        )


def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError as exc:
        raise ColourError(f"cannot read OCIO config {path}: {exc.strerror}; check $OCIO, or name another") from exc


def _wanted_space(
    config: ocio.Config, space: Optional[str], header: Mapping[str, object], config_name: str
) -> Tuple[str, str]:
    """Return the space to look up, and the reason for it."""
    if space:
        return space, "as given"
    if header.get("acesImageContainerFlag") == 1:
        return "ACES2065-1", "the plate is an ACES container"
    stated = str(header.get("colorInteropID", ""))
    if stated and config.getCanonicalName(stated):
        return stated, f"the plate's header says {stated}"
    if not config.hasRole("scene_linear"):
        raise ColourError(f"{config_name} has no role scene_linear; name the plate's space with --colorspace")
    return "scene_linear", "role scene_linear of the config"


def _linear_space(config: ocio.Config, wanted: str, config_name: str) -> str:
    """Return the space's own name, or raise ColourError if it is missing or not linear."""
    name = str(config.getCanonicalName(wanted))
    if not name:
        known = [known for space in config.getColorSpaces() for known in (space.getName(), *space.getAliases())]
        known += [role for role, _ in config.getRoles()]
        hint = nearest(wanted, known) or f"; known are {', '.join(config.getColorSpaceNames())}"
        raise ColourError(f"got colour space {wanted!r}, which is not in {config_name}{hint}")
    if not config.isColorSpaceLinear(name, ocio.REFERENCE_SPACE_SCENE):
        linear = [n for n in config.getColorSpaceNames() if config.isColorSpaceLinear(n, ocio.REFERENCE_SPACE_SCENE)]
        raise ColourError(f"got colour space {name!r}, which is not scene-linear; expected one of {', '.join(linear)}")
    return name
