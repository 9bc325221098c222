"""Of the folder of connection files, of path mapping, and of the roots that a server reads below."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Iterator

from void_bridge.cli.finding import Finding
from void_bridge.cli.findings.trial import existing, try_folder
from void_bridge.config import Config
from void_bridge.connection import check_above
from void_bridge.errors import OutputError, Refused, VoidBridgeError
from void_bridge.pathmap import PathMap

_ELSEWHERE = "set VOID_BRIDGE_RUNTIME_DIR to a folder of your own"


def runtime_findings(config: Config) -> Iterator[Finding]:
    yield _runtime(config.runtime_dir)


def _runtime(folder: Path) -> Finding:
    """What `connection.make_private` would make of it, without making it."""
    there = existing(folder)
    try:
        check_above(folder)
        if there == folder and os.name != "nt":
            _check_own(folder)
        try_folder(there)
    except (Refused, OutputError) as exc:
        return Finding("runtime", "bad", exc.message, _ELSEWHERE)
    if there != folder:
        return Finding("runtime", "ok", f"{folder}, made when it is needed")
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        fix = f"chmod 700 {shlex.quote(str(folder))}; the next server does so, too"
        return Finding("runtime", "note", f"others can enter {folder}, where connection files lie", fix)
    return Finding("runtime", "ok", f"{folder}, this user's alone")


def _check_own(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise Refused(f"{folder} is a link or a file, expected a folder: no server starts")
    if facts.st_uid != os.getuid():
        raise Refused(f"{folder} belongs to another user ({facts.st_uid}): no server starts")


def path_findings(config: Config) -> Iterator[Finding]:
    wrong = [*_map_problems(config), *_root_problems(config)]
    yield from wrong
    if not wrong:
        yield Finding("paths", "ok", f"{len(config.path_map)} mapped, {len(config.roots)} roots")


def _map_problems(config: Config) -> Iterator[Finding]:
    for text in config.path_map:
        try:
            (here,) = (here for _, here in PathMap.parse([text]).entries)
        except VoidBridgeError as exc:
            yield Finding("paths", "bad", exc.message, "correct path_map; void-bridge config show")
            continue
        if not os.access(here, os.R_OK | os.X_OK):
            fix = "mount it, or correct path_map; void-bridge config show"
            yield Finding("paths", "note", f"path_map {text}: {here} is not there, or closed to this user", fix)


def _root_problems(config: Config) -> Iterator[Finding]:
    for root in config.roots:
        if not os.access(root, os.R_OK | os.X_OK):
            fix = "mount it, or correct roots; void-bridge config show"
            yield Finding("paths", "note", f"root {root} is not there, or closed to this user", fix)
