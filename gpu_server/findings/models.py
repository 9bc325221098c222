"""Findings about the weights of the void engine: which are there and whole, by their headers, and room for the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpu_server.engines.void.checkpoint.check import CheckedPart as Part
from gpu_server.engines.void.checkpoint.check import check_parts
from gpu_server.engines.void.checkpoint.layout import PUBLISHED
from void_bridge.cli.findings import Finding
from void_bridge.config import Config, load

_FETCH = "void-bridge models fetch"
_ALL_GB = sum(source.gigabytes for part, source in PUBLISHED.items() if part != "base weights")


def model_findings(config: Config | None = None) -> Iterator[Finding]:
    """Yield the findings about the folder of weights.

    Args:
        config: names the folder; None: this user's configuration.
    """
    folder = (config or load().config).models
    if not folder.is_dir():
        yield Finding("models", "note", f"the void engine has no weights: {folder} is not there", f"{_FETCH} (32 GB)")
        yield from _room(folder, _ALL_GB)
        return
    parts = check_parts(folder, (1, 2))
    broken = [part for part in parts if part.state == "bad"]
    missing = [part for part in parts if part.state == "missing"]
    for part in broken:
        yield Finding("models", "bad", f"{part.part} in {folder}: {part.detail}", f"{_FETCH}, or {part.fix}")
    if missing:
        yield _lacking(folder, parts, missing)
        yield from _room(folder, sum(PUBLISHED[part.part].gigabytes for part in missing))
    elif not broken:
        sizes = sum(part.size for part in parts) / 1e9
        yield Finding("models", "ok", f"{folder}: both passes complete, {sizes:.2f} GB")


def _lacking(folder: Path, parts: Sequence[Part], missing: Sequence[Part]) -> Finding:
    names = ", ".join(part.part for part in missing)
    if {part.part for part in missing} == {"pass 2"}:
        detail = f"{folder}: pass 1 only; --passes auto and 2 also need pass 2"
        return Finding("models", "note", detail, _FETCH)
    there = [part.part for part in parts if part.is_whole and part.state != "unneeded"]
    detail = f"the void engine cannot run: {folder} lacks {names}"
    return Finding("models", "note", detail + (f"; it has {', '.join(there)}" if there else ""), _FETCH)


def _room(folder: Path, needed_gb: float) -> Iterator[Finding]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb < needed_gb:
        detail = f"the missing files need {needed_gb:.1f} GB, and {there} has {free_gb:.1f} free"
        yield Finding(
            "models", "note", detail, "free some space first, or set VOID_BRIDGE_MODELS to a folder on another disk"
        )
