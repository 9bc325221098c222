"""AWS Deadline Cloud, through its own client, which takes the bundle as it is.

The client uploads what the storage profile does not cover, and knows farm, queue and credentials from its own settings
(`deadline config`). A pool is the id of a queue.

Read in the source of the client (PyPI deadline 0.60.10): the options of `bundle submit` and `job get`; the job's id is
printed on a line of its own; errors are printed on standard output with exit status 1; `--yes` gives up where files are
outside every known folder; `job get` prints YAML. In the service's model (botocore, deadline/2023-10-12): CreateJob
takes no dependency on another job. This code has never talked to the real service.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any, Callable, ClassVar, Deque, Dict, List, Sequence, Tuple

from host_plugins.farm.backends import FarmReceipt, Say
from host_plugins.farm.backends.client import PIPES, environment, run_client
from host_plugins.farm.bundle import REFERENCES, Bundle
from host_plugins.farm.options import FarmOptions
from void_bridge.errors import InputError, ServerError, UsageError

_JOB = re.compile(r"^job-[0-9a-f]{32}$")
_QUEUE = re.compile(r"^queue-[0-9a-f]{32}$")
_KEPT_LINES = 200
_GET_TIMEOUT_S = 120
_DONE = ("SUCCEEDED",)
_COUNTED_STATES = (("RUNNING", "running"), ("FAILED", "failed"), ("CANCELED", "cancelled"), ("SUSPENDED", "suspended"))


class DeadlineCloud:
    """The back end `deadline-cloud`. Ids are `job-...` in the client's own queue, `queue-.../job-...` otherwise."""

    name: ClassVar[str] = "deadline-cloud"
    summary: ClassVar[str] = "AWS Deadline Cloud: submits through the client `deadline`"
    loads_once: ClassVar[bool] = True

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Submit a bundle through the client.

        Raises:
            UsageError: the client is not installed, or an option that Deadline Cloud cannot honour.
            InputError: the bundle cannot be read.
            ServerError: the service refuses the job.
        """
        if options.depends_on:
            raise UsageError(
                "Deadline Cloud has no dependencies between jobs; remove --depends-on. --then-comp puts the comp "
                "into the same job, after the frames"
            )
        queue = _queue(options.pool)
        lines = _run([_client(), *_submit_arguments(bundle, options, queue)], say)
        found = [line for line in lines if _JOB.match(line)]
        if not found:
            raise ServerError(f"the client of Deadline Cloud returned no job id; its output: {_last(lines)}")
        id = f"{queue}/{found[-1]}" if queue else found[-1]
        return FarmReceipt(id, f"Deadline Cloud job {found[-1]}" + (f" in {queue}" if queue else ""))

    def missing_requirements(self) -> str:
        """Return the advice to install the client, or an empty string."""
        try:
            _client()
        except UsageError as exc:
            return exc.message
        return ""

    def status(self, id: str) -> str:
        """Return the service's status of a job.

        Raises:
            UsageError: the client is not installed.
            ServerError: the service does not answer.
        """
        queue, _, job = id.rpartition("/")
        arguments = ["job", "get", f"--job-id={job}", *([f"--queue-id={queue}"] if queue else [])]
        return _status_line(_answer([_client(), *arguments]))


def _queue(pool: str) -> str:
    if pool and not _QUEUE.match(pool):
        raise UsageError(f"got pool {pool!r}, expected the id of a queue, queue-...; `deadline queue list` shows them")
    return pool


def _submit_arguments(bundle: Bundle, options: FarmOptions, queue: str) -> List[str]:
    arguments = ["bundle", "submit", "--yes", f"--name={options.name or bundle.name}"]
    arguments += [f"--priority={options.priority}", "--submitter-name=void-bridge"]
    if queue:
        arguments += [f"--queue-id={queue}"]
    for folder in _folders(bundle):
        arguments += [f"--known-asset-path={folder}"]
    return [*arguments, str(bundle.folder)]


def _folders(bundle: Bundle) -> Tuple[str, ...]:
    """Return every folder that is read or written. The user has confirmed them, so the client need not ask again."""
    path = bundle.folder / REFERENCES
    try:
        found = _yaml(path.read_text(encoding="utf-8"))["assetReferences"]
        files, outputs = found["inputs"]["filenames"], found["outputs"]["directories"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"cannot read {path}: {exc}; write the bundle again with void-bridge farm bundle") from exc
    return tuple(dict.fromkeys((*(os.path.dirname(file) for file in files), *outputs)))  # noqa: PTH120


def _client() -> str:
    in_environment = Path(sys.executable).with_name("deadline.exe" if os.name == "nt" else "deadline")
    found = shutil.which("deadline") or (str(in_environment) if in_environment.is_file() else "")
    if not found:
        raise UsageError(
            "the client of Deadline Cloud, `deadline`, is not installed; pip install deadline, then `deadline config "
            "set defaults.farm_id farm-...` and `... defaults.queue_id queue-...`, then `deadline auth login`"
        )
    return found


def _run(command: Sequence[str], say: Callable[[str], None]) -> List[str]:
    """Run the client and return its last lines; `say` gets each line at once, since an upload takes time."""
    kept: Deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        process = subprocess.Popen(command, env=environment(), **PIPES)
    except OSError as exc:
        raise UsageError(f"cannot run {command[0]}: {exc.strerror or exc}; install the client again") from exc
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                kept.append(line.strip())
                say(line.strip())
    if process.returncode:
        raise ServerError(f"Deadline Cloud refused the job: {_last(kept)}")
    return list(kept)


def _answer(command: Sequence[str]) -> Dict[str, Any]:
    try:
        done = run_client(command, _GET_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ServerError(f"the client of Deadline Cloud does not answer: {exc}") from exc
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        raise ServerError(f"Deadline Cloud gave no status: {_last(lines)}")
    try:
        found = _yaml(done.stdout)
    except ValueError as exc:
        raise ServerError(f"cannot read the output of the client of Deadline Cloud: {exc}") from exc
    return found


def _status_line(job: Dict[str, Any]) -> str:
    """Return a line such as `running: 3 of 8 tasks done, 2 running, 1 failed`."""
    counts: Dict[str, int] = job.get("taskRunStatusCounts") or {}
    if not counts or not job.get("taskRunStatus"):
        words = str(job.get("lifecycleStatusMessage") or "").strip()
        return str(job.get("lifecycleStatus", "unknown")).lower() + (f": {words}" if words else "")
    done = sum(counts.get(each, 0) for each in _DONE)
    parts = [f"{done} of {sum(counts.values())} tasks done"]
    parts += [f"{counts[state]} {word}" for state, word in _COUNTED_STATES if counts.get(state)]
    return f"{str(job['taskRunStatus']).lower()}: {', '.join(parts)}"


def _yaml(text: str) -> Dict[str, Any]:
    """Parse a YAML table.

    Raises:
        ValueError: the text is no table.
    """
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
    if not isinstance(found, dict):
        raise ValueError(f"got {type(found).__name__}, expected a table")
    return found


def _last(lines: Sequence[str]) -> str:
    return " ".join(list(lines)[-4:]) or "nothing"
