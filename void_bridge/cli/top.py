"""`void-bridge top`: the server's jobs, live."""

from __future__ import annotations

import argparse
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from void_bridge.cli.command import Command
from void_bridge.cli.connecting import add_server_options, connected, loaded_config
from void_bridge.cli.jobs import jobs_table
from void_bridge.client import Client
from void_bridge.errors import UsageError

_EVERY_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=30, metavar="N", help="how many jobs (default: 30)")
    add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    console = Console()
    if not console.is_terminal:
        raise UsageError("top needs a terminal; use void-bridge jobs")
    arguments.autostart = False  # there is nothing to see on a server that has just started
    with connected(loaded_config(arguments)) as client, Live(console=console, screen=True) as live:
        try:
            while True:
                live.update(screen(client, arguments.limit, console.width), refresh=True)
                time.sleep(_EVERY_S)
        except KeyboardInterrupt:
            return 0


def screen(client: Client, limit: int, width: int) -> RenderableType:
    jobs = client.jobs(limit)
    counts = {state: sum(status.state == state for status in jobs) for state in ("running", "queued")}
    server = client.server
    head = f"{server.server} on {server.host}: {counts['running']} running, {counts['queued']} queued (Ctrl-C leaves)"
    return Group(Text(head), Text(), jobs_table(jobs, width))


TOP = Command("top", "show the server's jobs, live", configure, run)
