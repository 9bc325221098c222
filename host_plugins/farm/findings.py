"""The findings of `void-bridge doctor` about the configured farm: its client, and the folders that its workers see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, Optional

from host_plugins.farm.assets import check_roots
from host_plugins.farm.backends import farm_of
from void_bridge.cli.findings import Finding
from void_bridge.cli.findings.folders import nearest_existing, try_folder
from void_bridge.config import Config, load
from void_bridge.errors import InputError, OutputError, UsageError, VoidBridgeError


def farm_findings(config: Optional[Config] = None) -> Iterator[Finding]:
    """Yield what is right and wrong with the farm's configuration.

    Args:
        config: the configuration to check; None loads this user's.
    """
    config = config or load().config
    yield _farm(config.farm)
    for root in config.farm_roots:
        if not os.access(root, os.R_OK | os.X_OK):
            fix = "mount it, or correct farm_roots; void-bridge config show"
            yield Finding("farm", "note", f"farm root {root} is not there, or closed to this user", fix)
    if config.farm_scratch:
        yield _scratch(Path(config.farm_scratch), config)


def _farm(name: str) -> Finding:
    if not name:
        return Finding("farm", "ok", "none is configured; void-bridge farm submit --to names one")
    try:
        farm = farm_of(name)
        lacks = getattr(farm, "lacks", None)
        problem = str(lacks()) if callable(lacks) else ""
    except UsageError as exc:
        return Finding("farm", "bad", exc.message, "correct farm; void-bridge config show")
    except VoidBridgeError as exc:
        return Finding("farm", "bad", exc.message)
    if problem:
        return Finding("farm", "note", f"{name}: {problem}", "install it, or name another farm: VOID_BRIDGE_FARM")
    return Finding("farm", "ok", f"{name}: {farm.summary}")


def _scratch(folder: Path, config: Config) -> Finding:
    fix = "make it, or set VOID_BRIDGE_FARM_SCRATCH to a folder that workers see and you can write"
    if not folder.is_absolute():
        return Finding("farm scratch", "bad", f"{folder} is no absolute path", fix)
    try:
        check_roots((str(folder),), config.farm_roots)
        try_folder(nearest_existing(folder))
    except (OutputError, InputError) as exc:
        return Finding("farm scratch", "bad", exc.message, fix)
    return Finding("farm scratch", "ok", f"{folder} can be written")
