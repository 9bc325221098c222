"""Thinkbox Deadline 10: a pair of submission files for its CommandLine plug-in, for the frames, the check and the comp.

<bundle>/deadline10/{frames,check,comp}_{job,plugin}_info.txt

UTF-16 with a byte order mark, as the submission scripts that come with Deadline write theirs. The worker numbers the
tasks (see `numbered_tasks`). Deadline 10 has no session that outlives a task: each task loads the model anew.

Read on docs.thinkboxsoftware.com ("Manual Job Submission", "Command", "Jobs - Command Arguments"): the tokens
<STARTFRAME> and <QUOTE>, and that `deadlinecommand` takes the two files. Read in a public copy of the plug-in's
CommandLine.py: Executable, Arguments, ShellExecute; a path mapping of the farm is applied to both; curly quotes become
straight ones; the pattern `Progress: N%` is looked for in a shell's output, but not in that of a program that runs
without one, as here: its progress is in `void-bridge farm status`.
Seen in other submitters: DEADLINE_PATH, JobID=..., BatchName, JobDependencies, ConcurrentTasks, OutputDirectory0, and
`-GetJobDetails` with a count for each state (`Completed:3`). From memory: steps in a list of frames (1-9x2).

A Deadline 10 job cannot ask for a GPU: its GPU settings belong to the plug-ins of renderers. Choose a pool of machines
that have them. These files have never been submitted to a repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Dict, List, Mapping, Sequence, Tuple

from host_plugins.farm.backends import FarmReceipt, Say, numbered_tasks
from host_plugins.farm.backends.client import run_client
from host_plugins.farm.bundle import Bundle
from host_plugins.farm.options import FarmOptions
from void_bridge.atomic import write_bytes
from void_bridge.client.output import output_folder
from void_bridge.errors import NoServer, ServerError, UsageError, map_write_errors

FOLDER = "deadline10"
FRAMES, CHECK, COMP = "frames", "check", "comp"

_TIMEOUT_S = 180
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_STATES = ("Completed", "Rendering", "Queued", "Pending", "Suspended", "Failed")

Info = Dict[str, str]


class Deadline10:
    """The back end `deadline10`. A job's id is the check's: once that has ended, every frame is there."""

    name: ClassVar[str] = "deadline10"
    summary: ClassVar[str] = (
        "Thinkbox Deadline 10: writes submission files, and submits them if deadlinecommand is installed"
    )
    loads_once: ClassVar[bool] = False

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Write the submission files, and submit them where deadlinecommand is installed.

        Raises:
            UsageError: an option that Deadline cannot honour.
            OutputError: a file cannot be written.
            ServerError: Deadline refuses or does not answer.
        """
        numbered_tasks.refuse_adaptor("Deadline 10", options)
        jobs = _jobs(bundle, options)
        files = tuple(str(path) for name in jobs for path in _write(bundle, name, *jobs[name]))
        note = _note(bundle, options)
        command = _command()
        if not command:
            return FarmReceipt("", f"{_by_hand(bundle, tuple(jobs))}{note}", files=files)
        ids: Dict[str, str] = {}
        for name, (job, plugin) in jobs.items():
            if ids:
                job = {**job, "JobDependencies": list(ids.values())[-1]}
            ids[name] = _submitted(command, _write(bundle, name, job, plugin), ids)
            say(f"Deadline job of the {name}: {ids[name]}")
        jobs_by_name = ", ".join(f"the {name} as {id}" for name, id in ids.items())
        return FarmReceipt(ids[CHECK], f"submitted to Deadline: {jobs_by_name}{note}", files=files)

    def missing_requirements(self) -> str:
        """Return a note that deadlinecommand is missing, or an empty string."""
        return (
            ""
            if _command()
            else "deadlinecommand is not on PATH: submission files are written, and must be submitted by hand"
        )

    def status(self, id: str) -> str:
        """Return the counts of Deadline's task states; empty where deadlinecommand is not installed.

        Raises:
            ServerError: Deadline does not answer.
        """
        command = _command()
        return _status_line(_run([command, "-GetJobDetails", id], {})) if command and id else ""


def _jobs(bundle: Bundle, options: FarmOptions) -> Dict[str, Tuple[Info, Info]]:
    """Return job and plug-in info of each job, in the order in which they depend on one another."""
    program, folder = numbered_tasks.parameter(bundle, "VoidBridge"), str(bundle.folder)
    last = len(bundle.tasks()) - 1
    task = ["farm", "task", "--own-session", "--bundle", folder, "--task", "<STARTFRAME>", "--lines", "deadline10"]
    check = ["farm", "check", "--bundle", folder, "--lines", "deadline10"]
    outputs = dict.fromkeys(str(output_folder(bundle.job(shot).job)) for shot in bundle.shot_names())
    made = {f"OutputDirectory{number}": path for number, path in enumerate(outputs)}
    depends = {"JobDependencies": ",".join(options.depends_on)} if options.depends_on else {}
    found = {
        FRAMES: (
            {**_job(bundle, options, FRAMES, f"0-{last}" if last else "0"), **depends, **made},
            _plugin(program, task),
        ),
        CHECK: ({**_job(bundle, options, CHECK, "0"), **made}, _plugin(program, check)),
    }
    comp = numbered_tasks.comp(bundle, "<STARTFRAME>")
    if comp:
        found[COMP] = (_job(bundle, options, COMP, comp.frames), _plugin(comp.command[0], comp.command[1:]))
    return found


def _job(bundle: Bundle, options: FarmOptions, what: str, frames: str) -> Info:
    """Return the job info. ConcurrentTasks is 1, since two tasks at once on a worker would share its GPU."""
    name = _one_line(options.name or bundle.name)
    return {
        "Plugin": "CommandLine",
        "Name": f"{name} - {what}",
        "BatchName": name,
        **({"Comment": _one_line(options.comment)} if options.comment else {}),
        **({"Pool": options.pool} if options.pool else {}),
        "Priority": str(options.priority),
        "Frames": frames,
        "ChunkSize": "1",
        "ConcurrentTasks": "1",
    }


def _plugin(executable: str, arguments: Sequence[str]) -> Info:
    return {"Executable": executable, "Arguments": " ".join(map(_quoted, arguments)), "ShellExecute": "False"}


def _quoted(argument: str) -> str:
    """Return an argument as the plug-in takes it.

    Raises:
        UsageError: the argument holds quotes, which the plug-in cannot pass on.
    """
    if re.search('["\u201c\u201d]', argument) or argument.endswith("\\"):
        raise UsageError(f"got {argument}; Deadline 10 cannot pass on quotes; choose a path without them with -o")
    return argument if re.fullmatch(r"[\w.:,/<>+=@-]+", argument, re.ASCII) else f"<QUOTE>{argument}<QUOTE>"


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _write(bundle: Bundle, name: str, job: Info, plugin: Info) -> Tuple[Path, Path]:
    paths = bundle.folder / FOLDER / f"{name}_job_info.txt", bundle.folder / FOLDER / f"{name}_plugin_info.txt"
    for path, info in zip(paths, (job, plugin)):
        text = "".join(f"{key}={_checked(key, value)}\r\n" for key, value in info.items())
        with map_write_errors(path):
            path.parent.mkdir(exist_ok=True)
        write_bytes(path, b"\xff\xfe" + text.encode("utf-16-le"))
    return paths


def _checked(key: str, value: str) -> str:
    """Return a value that fits on one line, since a line break would begin another key."""
    if _CONTROL.search(value):
        raise UsageError(f"got {value!r} for {key} of Deadline 10, expected one line; rename it")
    return value


def _command() -> str:
    """Return the path of deadlinecommand, or an empty string."""
    named = os.environ.get("DEADLINE_PATH", "").strip()
    return (shutil.which("deadlinecommand", path=named) if named else None) or shutil.which("deadlinecommand") or ""


def _submitted(command: str, files: Tuple[Path, Path], before: Mapping[str, str]) -> str:
    lines = _run([command, *map(str, files)], before)
    for line in lines:
        if line.startswith("JobID=") and line[6:].strip():
            return line[6:].strip()
    raise ServerError(f"deadlinecommand returned no job id; its output: {' '.join(lines[-4:])}{_already(before)}")


def _run(command: Sequence[str], before: Mapping[str, str]) -> List[str]:
    try:
        done = run_client(command, _TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NoServer(
            f"deadlinecommand does not answer: {exc}; check that the repository is reachable{_already(before)}"
        ) from exc
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        raise ServerError(f"Deadline refused the job: {' '.join(lines[-4:]) or 'nothing said'}{_already(before)}")
    return lines


def _already(before: Mapping[str, str]) -> str:
    """Return which jobs must be deleted in the Monitor before another try."""
    return "".join(f"; the {name} had been submitted as {id}: delete that job first" for name, id in before.items())


def _status_line(lines: Sequence[str]) -> str:
    """Return a line such as `3 completed, 1 rendering, 4 queued`; empty where no count is found."""
    counts: Dict[str, str] = {}
    for line in lines:
        found = re.match(r"(\w+)\s*[:=]\s*(\d+)$", line)
        if found and found[1] in _STATES:
            counts[found[1]] = found[2]
    return ", ".join(f"{counts[state]} {state.lower()}" for state in _STATES if int(counts.get(state, 0)))


def _by_hand(bundle: Bundle, names: Tuple[str, ...]) -> str:
    folder = bundle.folder / FOLDER
    first, *others = names
    words = f"deadlinecommand was not found; on a machine that has it: deadlinecommand {first}_job_info.txt "
    words += f"{first}_plugin_info.txt in {folder}; it prints JobID="
    for before, name in zip(names, others):
        words += f"; then {name} likewise, with the line JobDependencies=<JobID of {before}> added to its job info"
    return words


def _note(bundle: Bundle, options: FarmOptions) -> str:
    """Return which options Deadline 10 cannot honour, to be added to the answer; empty if there are none."""
    requested = [
        needs
        for needs in (numbered_tasks.host_requirements(bundle, shot) for shot in bundle.shot_names())
        if needs.gpus
    ]
    if not requested:
        return ""
    gpus, memory = max(each.gpus for each in requested), max(each.gpu_memory_mib for each in requested)
    held = f" with {memory} MiB" if memory else ""
    pool = f"pool {options.pool} has to hold" if options.pool else "choose with --pool"
    return f". Deadline 10 does not look for GPUs: {pool} machines with {gpus} of them{held}"
