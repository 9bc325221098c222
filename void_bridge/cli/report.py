"""The command `void-bridge report`, which packs logs and settings into one file, without keys or pictures.

Packages add parts as entry points in `void_bridge.report`: functions of a Config that yield `(name, text)`.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import re
import sys
import time
import zipfile
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Iterator, List, Set, Tuple

from void_bridge.atomic import write_bytes
from void_bridge.cli.command import Command
from void_bridge.cli.doctor import collect_findings
from void_bridge.cli.server_options import add_server_options, open_client
from void_bridge.client import Client
from void_bridge.config import Config, LoadedConfig, load
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import OutputError, VoidBridgeError
from void_bridge.job_request import parse_job_id
from void_bridge.typed import to_plain
from void_bridge.version import __version__

GROUP = "void_bridge.report"
JOBS = 100
_SECRET = re.compile(rb"""(?:secret-key|client_secret)["']?\s*[=:]\s*["']?([^\s"']{40})""")
_HIDDEN = "(a key was here)"

Part = Tuple[str, str]

README = """\
A report of void-bridge {version}, written {time} on {host}.

{parts}

It does not contain: keys, connection files, frames, previews, environment variables.
It contains: names of users, machines, jobs and files; prompts; log lines about them. Read it before you share it.
give it away.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the output file."""
    parser.add_argument(
        "jobs", metavar="JOB", nargs="*", help="jobs to include in full: an id, a job.json or its folder"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="ZIP file to write (default: void-bridge-report-TIME.zip in this folder)"
    )
    add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    loaded = load({"connect": arguments.connect, "autostart": False})
    jobs = [parse_job_id(text) for text in arguments.jobs]
    path = Path(arguments.output or time.strftime("void-bridge-report-%Y%m%d-%H%M%S.zip"))
    if path.exists():
        raise OutputError(f"{path} already exists; give another name with -o")
    parts = list(_parts(loaded, jobs))
    write_bytes(path, pack_report(parts, find_secrets(loaded.config)), private=True)
    arguments.outcome.set_without_job(report=str(path.absolute()), parts=[name for name, _ in parts])
    arguments.outcome.summary(f"{path}: {len(parts)} parts, without keys or images; read it before you share it")
    return 0


def pack_report(parts: List[Part], secrets: Set[bytes]) -> bytes:
    """Return a ZIP file of the parts and a README.txt that lists them.

    Args:
        parts: names and texts.
        secrets: keys that are replaced wherever they occur.
    """
    names = "\n".join(f"{name:<24} {len(text)} characters" for name, text in parts)
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    readme = README.format(version=__version__, time=now, host=platform.node(), parts=names)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in [("README.txt", readme), *parts]:
            data = text.encode("utf-8", "replace")
            for secret in secrets:
                data = data.replace(secret, _HIDDEN.encode())
            bundle.writestr(name, data)
    return packed.getvalue()


def find_secrets(config: Config) -> Set[bytes]:
    """Return every secret key in this user's key folder and connection files, as Z85."""
    files = [*config.keys.glob("*.key_secret"), *config.runtime_dir.glob("*.json")]
    found: Set[bytes] = set()
    for file in files:
        try:
            found.update(_SECRET.findall(file.read_bytes()))
        except OSError:  # keys that this process cannot read cannot get into the report
            continue
    return found


def _parts(loaded: LoadedConfig, jobs: List[str]) -> Iterator[Part]:
    """Yield all parts. A part that fails is replaced by its error."""
    yield from _json_part("about.json", _about)
    yield from _json_part("config.json", lambda: _settings(loaded))
    yield from _json_part("doctor.json", lambda: collect_findings(loaded.config))
    yield from _server_parts(loaded.config, jobs)
    for name, entry in find_entry_points(GROUP).items():
        try:
            yield from entry.load()(loaded.config)
        except Exception as exc:
            yield f"{name}.failed.txt", f"{type(exc).__name__}: {exc}\n"


def _json_part(name: str, read: Callable[[], Any]) -> Iterator[Part]:
    """Yield the value that `read` returns as JSON, or its error."""
    try:
        yield name, json.dumps(to_plain(read()), indent=1, ensure_ascii=False, default=str) + "\n"
    except Exception as exc:
        yield f"{name}.failed.txt", f"{type(exc).__name__}: {exc}\n"


def _server_parts(config: Config, jobs: List[str]) -> Iterator[Part]:
    """Yield the status of the server and of its jobs, or the error with which it cannot be reached."""
    try:
        with open_client(config.replace(autostart=False)) as client:
            yield from _json_part("server.json", lambda: {"welcome": client.server, "now": client.server_status()})
            yield from _json_part("jobs.json", lambda: client.jobs(JOBS))
            for id in jobs:
                file_name = re.sub(r"[^\w.-]", "_", id)[:64]
                yield from _json_part(f"jobs/{file_name}.json", partial(_job_details, client, id))
    except VoidBridgeError as exc:
        yield "server.failed.txt", f"{exc.message}\n"


def _job_details(client: Client, id: str) -> Any:
    """Return all that the server says about a job."""
    result = client.result(id)
    return {"status": result.status, "job": result.job, "report": result.report, "frames": len(result.frames)}


def _about() -> Any:
    """Return facts about this installation."""
    packages = sorted({f"{found.name} {found.version}" for found in metadata.distributions() if found.name})
    return {
        "void_bridge": __version__,
        "python": sys.version,
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": packages,
    }


def _settings(loaded: LoadedConfig) -> Any:
    """Return every setting with its source."""
    values = to_plain(loaded.config)
    return {name: {"value": value, "from": loaded.sources[name]} for name, value in values.items()}


COMMAND = Command(
    "report",
    "pack logs and settings into one file for a bug report, without keys or images",
    configure,
    run,
    examples="void-bridge report demo_out/clean/job.json -o fault.zip",
)
