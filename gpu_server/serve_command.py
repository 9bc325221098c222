"""`void-bridge serve`: a server that answers jobs until it is stopped."""

from __future__ import annotations

import argparse
import sys

from gpu_server.logs import ServerLogs
from gpu_server.server.app import run
from gpu_server.server.settings import ServerSettings
from void_bridge.cli.command import Command
from void_bridge.config import load
from void_bridge.connection import installation_id
from void_bridge.errors import VersionMismatch
from void_bridge.version import __version__


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bind", metavar="URL", help="URL to listen on; an address other than loopback needs keys")
    parser.add_argument("--spool", metavar="DIR", help="folder of the jobs' inputs and results")
    parser.add_argument("--models", metavar="DIR", help="folder of the model weights")
    parser.add_argument("--workers", metavar="N", type=int, help="number of worker processes, one for each device")
    parser.add_argument(
        "--metrics-port", metavar="PORT", type=int, help="port on 127.0.0.1 for Prometheus metrics (default: none)"
    )
    parser.add_argument("--log-format", metavar="text|json", help="format of the log lines (default: text)")
    parser.add_argument("--autostarted", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--installation", help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.installation:
        _check_installation(arguments.installation)
    names = ("bind", "spool", "models", "workers", "metrics_port", "log_format")
    config = load({name: getattr(arguments, name) for name in names}).config
    settings = ServerSettings.from_config(config, autostarted=arguments.autostarted)
    with ServerLogs(config.log_format, None if settings.autostarted else sys.stderr) as logs:
        run(settings, logs.keep_in)
    return 0


def _check_installation(expected: str) -> None:
    """Raise if this is not the installation that the client expects: it would wait in vain for another's server.

    Raises:
        VersionMismatch: it is another.
    """
    if installation_id() != expected:
        raise VersionMismatch(
            "the plug-in was installed by another version or installation than this server's: run void-bridge "
            f"install nuke (or resolve) again; it expects {expected}, this is {installation_id()} ({__version__})"
        )


COMMAND = Command(
    "serve",
    "run a server that processes jobs until it is stopped",
    _configure,
    _run,
    examples="void-bridge serve --bind tcp://0.0.0.0:5570 --spool /scratch/void --metrics-port 9570",
)
