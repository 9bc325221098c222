"""The OCIO config of a plate. Fusion names none to a script, so the colour space is asked for and never assumed."""

from __future__ import annotations

import os

from host_plugins.control.settings import Settings
from void_bridge.config import BUILTIN_CONFIG, load
from void_bridge.errors import ColourError

EXAMPLES = "such as ACEScg, Linear Rec.709 (sRGB) or Linear DaVinci WideGamut"


def required_colourspace(settings: Settings) -> str:
    """The colour space that the artist named. Raises ColourError: none."""
    if not settings.colorspace:
        raise ColourError(f"the plate's colour space has to be said, {EXAMPLES}; write it into 'colour space'")
    return settings.colorspace


def ocio_config_of(settings: Settings) -> str:
    """The config that a colour space is a name of: the window's, the configured one, $OCIO, or the built-in one."""
    return settings.ocio_config or load().config.ocio or os.environ.get("OCIO", "") or BUILTIN_CONFIG
