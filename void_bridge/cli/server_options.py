"""Options and arguments shared by the commands that connect to a server."""

from __future__ import annotations

import argparse
from typing import Any

from void_bridge.cli.command import add_json_option, number_in
from void_bridge.cli.console import say
from void_bridge.client import Client, connect
from void_bridge.config import Config, load
from void_bridge.job import Job, JobFile
from void_bridge.job_request import find_job_file


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add --connect, --no-autostart and --json."""
    group = parser.add_argument_group("server")
    group.add_argument("--connect", metavar="URL", help="server to use (default: the local server)")
    group.add_argument(
        "--no-autostart", dest="autostart", action="store_false", default=None, help="do not start a local server"
    )
    add_json_option(parser)


def add_limit_option(parser: argparse.ArgumentParser) -> None:
    """Add --limit, within what a server lists at once."""
    parser.add_argument(
        "--limit",
        type=number_in(int, 1, 1000),
        default=100,
        metavar="N",
        help="number of jobs, 1 to 1000, newest first (default: 100)",
    )


def add_job_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument JOB and the options of `add_server_options`."""
    parser.add_argument("job", metavar="JOB", help="job id, the job.json next to the output, or its folder")
    add_server_options(parser)


def load_config(arguments: argparse.Namespace, **more: Any) -> Config:
    """Return the configuration with the options of `add_server_options` and further values. Raises ConfigError."""
    return load({"connect": arguments.connect, "autostart": arguments.autostart, **more}).config


def open_client(config: Config) -> Client:
    """Return a client whose notices are printed. Raises NoServer, VersionMismatch, Refused."""
    return connect(config, notice=say)


def read_job(text: str, arguments: argparse.Namespace) -> Job:
    """Return the job in the argument JOB, from its job.json or, for an id, from the server.

    Args:
        text: the argument JOB.
        arguments: the options of `add_server_options`.

    Raises:
        InputError: the job.json cannot be read.
        UnknownJob: the server does not know the id.
        NoServer: no server answers.
    """
    path = find_job_file(text)
    if path is not None:
        return JobFile.read(path).job
    with open_client(load_config(arguments)) as client:
        return client.result(text).job
