"""`void-bridge serve`: answer jobs until told to stop."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import sys
from pathlib import Path

from gpu_server.server.app import run
from gpu_server.server.settings import ServerSettings
from void_bridge import __version__
from void_bridge.cli.command import Command
from void_bridge.config import load
from void_bridge.connection import installation_id
from void_bridge.errors import VersionMismatch

_LINE = "%(asctime)s %(levelname)s %(message)s"
_LOG_BYTES = 10 * 2**20
_LOG_FILES = 5


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bind", metavar="URL", help="address to listen on; other than loopback needs keys")
    parser.add_argument("--spool", metavar="DIR", help="folder for jobs in the making and their results")
    parser.add_argument("--models", metavar="DIR", help="folder of model weights")
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes, one for each device")
    parser.add_argument("--autostarted", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--installation", help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.installation:
        _check_installation(arguments.installation)
    names = ("bind", "spool", "models", "workers")
    config = load({name: getattr(arguments, name) for name in names}).config
    settings = ServerSettings.from_config(config, autostarted=arguments.autostarted)
    logging.basicConfig(level=logging.INFO, format=_LINE, handlers=[_log_handler(settings)])
    run(settings)
    return 0


def _check_installation(expected: str) -> None:
    """A client finds the local server by its installation, and would wait in vain for another's."""
    if installation_id() != expected:
        raise VersionMismatch(
            "the plug-in was installed from another version or another place than this server's: run void-bridge "
            f"install nuke (or resolve) again; it expects {expected}, this is {installation_id()} ({__version__})"
        )


def _log_handler(settings: ServerSettings) -> logging.Handler:
    """A server that nobody watches writes to files that cannot fill the disk."""
    if not settings.autostarted:
        return logging.StreamHandler(sys.stderr)
    path = Path(settings.spool) / "logs" / "server.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8")


COMMAND = Command("serve", "run a server that keeps its engines ready", _configure, _run)
