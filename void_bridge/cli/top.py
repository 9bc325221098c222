"""The command `void-bridge top`, which shows the server, its workers and its jobs, live or once."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import replace
from typing import Optional

from rich.console import Console
from rich.live import Live

from void_bridge.cli.command import Command
from void_bridge.cli.server_options import add_limit_option, add_server_options, load_config
from void_bridge.cli.top_view import TopView, render
from void_bridge.client import Client, connect
from void_bridge.client.formatting import duration_text
from void_bridge.errors import NoServer, UnknownJob, UsageError, VersionMismatch
from void_bridge.protocol.messages import ServerStatus
from void_bridge.typed import to_plain

_EVERY_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --limit and --once."""
    add_limit_option(parser)
    parser.add_argument("--once", action="store_true", help="print the view once, also without a terminal")
    add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the server. Raises NoServer if none answers at the start; later it is waited for."""
    console = Console()
    once = arguments.once or arguments.json
    if not once and (not console.is_terminal or console.is_dumb_terminal):
        raise UsageError("top needs a terminal; give --once, or use void-bridge jobs")
    arguments.autostart = False  # a server that has just started has nothing to show
    try:
        with connect(load_config(arguments), patience_s=0.0) as client:
            view = fetch_view(client, arguments.limit)
            if once:
                _show_once(view, console, arguments)
            else:
                _show_live(client, view, console, arguments.limit)
    except KeyboardInterrupt:
        if once:
            raise
    return 0


def fetch_view(client: Client, limit: int) -> TopView:
    """Return the server's status and its newest jobs, with all jobs that workers hold. Raises NoServer."""
    status: Optional[ServerStatus] = None
    with suppress(VersionMismatch):
        status = client.server_status()
    jobs = list(client.jobs(limit))
    listed = {job.id for job in jobs}
    held = (job_id for worker in (status.workers if status else ()) for job_id in worker.jobs)
    for job_id in held:
        if job_id not in listed:
            with suppress(UnknownJob):
                jobs.append(client.status(job_id))
    return TopView(client.server, status, tuple(jobs))


def _show_once(view: TopView, console: Console, arguments: argparse.Namespace) -> None:
    """Print the view."""
    about = {"version": view.server.server, "host": view.server.host}
    arguments.outcome.set_without_job(
        server={**about, **(to_plain(view.status) if view.status else {})},
        jobs=[to_plain(job) for job in view.jobs],
    )
    if not arguments.json:
        console.print(render(view, console.width))


def _show_live(client: Client, view: TopView, console: Console, limit: int) -> None:
    """Show the view on the whole terminal and update it until Ctrl-C."""
    seen = time.monotonic()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(render(view, *console.size), refresh=True)
            time.sleep(_EVERY_S)
            try:
                view, seen = fetch_view(client, limit), time.monotonic()
            except NoServer as exc:
                ago = duration_text(time.monotonic() - seen)
                view = replace(view, warnings=(f"waiting for the server for {ago}; below is its last answer", str(exc)))


TOP = Command("top", "show the server, its workers and its jobs, live", configure, run)
