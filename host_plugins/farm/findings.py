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
            fix = "mount it, or correct farm_roots; void-bridge config show prints them"
            yield Finding("farm", "note", f"farm root {root} does not exist, or this user may not read it", fix)
    if config.farm_scratch:
        yield _scratch(Path(config.farm_scratch), config)


def _farm(name: str) -> Finding:
    if not name:
        return Finding("farm", "ok", "no farm is configured; choose one with void-bridge farm submit --to")
    try:
        farm = farm_of(name)
        missing_requirements = getattr(farm, "missing_requirements", None)
        problem = str(missing_requirements()) if callable(missing_requirements) else ""
    except UsageError as exc:
        return Finding("farm", "bad", exc.message, "correct farm; void-bridge config show prints it")
    except VoidBridgeError as exc:
        return Finding("farm", "bad", exc.message)
    if problem:
        return Finding("farm", "note", f"{name}: {problem}", "install it, or name another farm: VOID_BRIDGE_FARM")
    return Finding("farm", "ok", f"{name}: {farm.summary}")


def _scratch(folder: Path, config: Config) -> Finding:
    fix = "create it, or set VOID_BRIDGE_FARM_SCRATCH to a folder that you can write and workers see"
    if not folder.is_absolute():
        return Finding("farm scratch", "bad", f"{folder} is not an absolute path", fix)
    try:
        check_roots((str(folder),), config.farm_roots)
        try_folder(nearest_existing(folder))
    except (OutputError, InputError) as exc:
        return Finding("farm scratch", "bad", exc.message, fix)
    return Finding("farm scratch", "ok", f"{folder} is writable")
