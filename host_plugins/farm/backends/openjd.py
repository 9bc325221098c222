"""Open Job Description on this machine: openjd-cli runs the bundle's tasks one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Dict, List

from host_plugins.farm.backends import FarmReceipt, Say
from host_plugins.farm.bundle import SERVICE_PARAMETERS, TEMPLATE, Bundle
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.processes import is_running
from void_bridge.errors import UsageError, map_write_errors

LOG = "openjd.log"
_FAILED = "openjd_fail: "
_COMMANDS = {"VoidBridge": "void-bridge", "VoidBridgeAdaptor": "void-bridge-adaptor"}


class OpenJobDescription:
    """The back end `openjd`. A job's id is the process id of openjd-cli."""

    name: ClassVar[str] = "openjd"
    summary: ClassVar[str] = "this machine: runs the job through openjd-cli"
    loads_once: ClassVar[bool] = True

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Run a bundle here, in the foreground or in the background.

        Raises:
            UsageError: openjd-cli is not installed, or the job depends on others.
        """
        if options.depends_on:
            raise UsageError(
                "openjd runs a job at once on this machine; submit jobs one after the other instead of --depends-on"
            )
        missing = self.missing_requirements()
        if missing:
            raise UsageError(missing)
        command = [sys.executable, "-m", "openjd", "run", str(bundle.folder / TEMPLATE), "-p", _parameters(bundle)]
        log = bundle.folder / LOG
        if options.detach:
            return _in_background(command, log)
        return _in_foreground(command, log, say)

    def missing_requirements(self) -> str:
        """Return the advice to install openjd-cli, or an empty string."""
        if find_spec("openjd"):
            return ""
        return "running a bundle on this machine needs openjd-cli, which is not installed; install void-bridge[farm]"

    def status(self, id: str) -> str:
        """Return whether the job's process runs."""
        return "runs on this machine" if is_running(int(id)) else "has ended on this machine"


def _parameters(bundle: Bundle) -> str:
    """Return the bundle's values as JSON, with this installation's own commands unless others are named."""
    values = {name: value for name, value in bundle.values.items() if name not in SERVICE_PARAMETERS}
    known = {each["name"] for each in bundle.template["parameterDefinitions"]}
    own = {name: Path(sys.executable).with_name(script) for name, script in _COMMANDS.items() if name in known}
    there = {name: str(path) for name, path in own.items() if path.is_file()}
    return json.dumps({**there, **values})


def _in_foreground(command: List[str], log: Path, say: Say) -> FarmReceipt:
    """Run openjd-cli, show and keep every line. Ctrl-C cancels; the session's server has ended when this returns."""
    failure, process = "", _start(command, stdout=subprocess.PIPE, **_own_group())
    assert process.stdout is not None
    interrupted = False
    with open(log, "ab") as kept:
        while True:
            try:
                line = process.stdout.readline()
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(_notice())
                continue
            if not line:
                break
            kept.write(line)
            text = line.decode("utf-8", "replace").rstrip()
            failure = text.partition(_FAILED)[2] or failure
            say(text)
    code = process.wait()
    id = str(process.pid)
    if interrupted:
        return FarmReceipt(id, "the job was cancelled; submit it again to continue", "cancelled")
    if code:
        return FarmReceipt(id, f"the job failed: {failure or f'openjd ended with {code}'}; its log is {log}", "failed")
    return FarmReceipt(id, f"the job is done; its log is {log}", "done")


def _in_background(command: List[str], log: Path) -> FarmReceipt:
    with map_write_errors(log), open(log, "ab") as kept:
        process = _start(command, stdout=kept, **_detached())
    _left_alone.append(process)
    return FarmReceipt(str(process.pid), f"the job runs in the background; its log is {log}")


_left_alone: List[Any] = []  # kept, so that a job that outlives this process is no leak


def _start(command: List[str], **more: Any) -> Any:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment, **more)


def _own_group() -> Dict[str, Any]:
    """Return arguments of Popen that keep Ctrl-C from the tasks, so that it reaches openjd-cli once, from here."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _detached() -> Dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _notice() -> int:
    if sys.platform == "win32":
        return signal.CTRL_BREAK_EVENT
    return signal.SIGINT
