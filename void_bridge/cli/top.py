"""`void-bridge top`: the server, its workers and its jobs, live or once."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import replace
from typing import Optional

from rich.console import Console
from rich.live import Live

from void_bridge.cli.command import Command
from void_bridge.cli.server_options import add_server_options, load_config
from void_bridge.cli.top_view import TopView, picture
from void_bridge.client import Client, connect
from void_bridge.client.formatting import duration_text
from void_bridge.errors import NoServer, UnknownJob, UsageError, VersionMismatch
from void_bridge.protocol.messages import ServerStatus
from void_bridge.typed import to_plain

_EVERY_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="how many jobs, the newest (default: 100)")
    parser.add_argument("--once", action="store_true", help="one picture on standard output; needs no terminal")
    add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Raises NoServer: none when it starts; one that goes away later is waited for."""
    console = Console()
    once = arguments.once or arguments.json
    if not once and (not console.is_terminal or console.is_dumb_terminal):
        raise UsageError("top needs a terminal; give --once, or use void-bridge jobs")
    arguments.autostart = False  # there is nothing to see on a server that has just started
    try:
        with connect(load_config(arguments), patience_s=0.0) as client:
            view = look(client, arguments.limit)
            if once:
                _show_once(view, console, arguments)
            else:
                _show_live(client, view, console, arguments.limit)
    except KeyboardInterrupt:
        if once:
            raise
    return 0


def look(client: Client, limit: int) -> TopView:
    """What a server says now. Jobs that workers hold are among them, however many are newer. Raises NoServer."""
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
    about = {"version": view.server.server, "host": view.server.host}
    arguments.outcome.set_without_job(
        server={**about, **(to_plain(view.status) if view.status else {})},
        jobs=[to_plain(job) for job in view.jobs],
    )
    if not arguments.json:
        console.print(picture(view, console.width))


def _show_live(client: Client, view: TopView, console: Console, limit: int) -> None:
    seen = time.monotonic()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(view, *console.size), refresh=True)
            time.sleep(_EVERY_S)
            try:
                view, seen = look(client, limit), time.monotonic()
            except NoServer as exc:
                ago = duration_text(time.monotonic() - seen)
                view = replace(
                    view, trouble=(f"waiting for the server, for {ago}; below is what it said last", str(exc))
                )


TOP = Command("top", "show the server, its workers and its jobs, live", configure, run)
