"""The server of a farm session: one process that keeps the model loaded from task to task.

A session's server has its own spool, keys and address below the session's folder. Only the tasks of the session find
it. It exits after ten idle minutes if no command stops it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List

from host_plugins.farm.processes import import_psutil, wait_until_ended
from void_bridge.client.launch import start_server
from void_bridge.config import Config, load
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import EngineError

FOLDER = "void-bridge"
_RECORD = "session.json"
_STOP_S = 60.0
_IDLE_EXIT_S = 600.0  # in case no task stops it
_KILL_S = 10.0
_WORDS = 20  # lines
_ASK_GPUS = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


def session_config(folder: Path) -> Config:
    """Return the configuration for the server of a session and its clients.

    Raises:
        ConfigError: the site locks a setting that a session needs.
    """
    own = folder.absolute() / FOLDER
    loaded = load({"runtime_dir": own / "run", "spool": own / "spool", "connect": "", "autostart": False})
    if "idle_exit_s" in loaded.locked:
        return loaded.config
    return loaded.config.replace(idle_exit_s=min(_IDLE_EXIT_S, loaded.config.idle_exit_s))


def start(folder: Path, gpus: int = 0, gpu_memory_gb: float = 0.0, say: Callable[[str], None] = print) -> Config:
    """Start the server of a session.

    Args:
        folder: the session's own folder; it is removed at the end.
        gpus: how many GPUs this host must have.
        gpu_memory_gb: memory of each of them, in GB.
        say: called with lines for a person.

    Returns:
        A configuration for clients of this server; its address is in `connect`.

    Raises:
        EngineError: this host lacks the GPUs.
        NoServer: the server did not start.
    """
    check_host(gpus, gpu_memory_gb)
    psutil = import_psutil()
    config = session_config(folder)
    start_server(config, lambda: False, say)
    found = read_connection(connection_path(config.runtime_dir))
    record = {"pid": found.server_pid, "started": psutil.Process(found.server_pid).create_time()}
    (folder / FOLDER / _RECORD).write_text(json.dumps(record), encoding="utf-8")
    return config.replace(connect=found.control_address)


def variables(config: Config) -> Dict[str, str]:
    """Return the environment variables that make a task use this session's server and start none."""
    return {
        "VOID_BRIDGE_CONNECT": config.connect,
        "VOID_BRIDGE_RUNTIME_DIR": str(config.runtime_dir),
        "VOID_BRIDGE_AUTOSTART": "off",
    }


def stop(folder: Path, say: Callable[[str], None] = print) -> None:
    """End the session's server and its workers, and remove the session's files.

    Args:
        folder: the session's folder.
        say: called with the last log lines of a server that had died.
    """
    own = folder.absolute() / FOLDER
    try:
        record = json.loads((own / _RECORD).read_text(encoding="utf-8"))
        was_alive = _end(int(record["pid"]), float(record["started"]))
    except (OSError, ValueError, KeyError):  # it never came up
        was_alive = False
    if not was_alive:
        say("the session's server had already ended; its last log lines:")
        for line in _last_words(own):
            say(f"  {line}")
    shutil.rmtree(own, ignore_errors=True)


def check_host(gpus: int, gpu_memory_gb: float) -> None:
    """Check that this host has the GPUs that a task asks for, since not every scheduler does.

    Raises:
        EngineError: there are fewer GPUs of that size.
    """
    if not gpus:
        return
    found = gpu_memories_gb()
    fitting = [memory for memory in found if memory >= gpu_memory_gb]
    if len(fitting) < gpus:
        has = ", ".join(f"{memory:.0f} GB" for memory in found) or "none"
        raise EngineError(
            f"this host does not fit the task: it asks for {gpus} GPU with {gpu_memory_gb:g} GB, this one has {has}; "
            "submit it to a pool of hosts that fit, or with another --gpu-memory or --gpus 0"
        )


def gpu_memories_gb() -> List[float]:
    """Return the memory in GB of each GPU that this process may use, as the NVIDIA driver reports it."""
    try:
        answer = subprocess.run(_ASK_GPUS, capture_output=True, text=True, timeout=30)
        memories = [float(line) * 2**20 / 1e9 for line in answer.stdout.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return memories
    chosen = [entry.strip() for entry in visible.split(",") if entry.strip() not in ("", "-1")]
    if all(entry.isdigit() for entry in chosen):
        return [memories[int(entry)] for entry in chosen if int(entry) < len(memories)]
    return memories[: len(chosen)]


def _last_words(own: Path) -> List[str]:
    lines = []
    for log in (own / "run" / "server.log", own / "spool" / "logs" / "server.log"):
        if log.is_file():
            lines += log.read_text(encoding="utf-8", errors="replace").splitlines()[-_WORDS:]
    return lines


def _end(pid: int, started: float) -> bool:
    """Ask the server to stop, which ends its workers; kill what is left. Return whether the server was running."""
    family = _family(pid, started)
    for process in family:
        if process.pid == pid:
            process.terminate()
    left = wait_until_ended(family, _STOP_S)
    for process in left:
        process.kill()
    wait_until_ended(left, _KILL_S)
    return any(process.pid == pid for process in family)


def _family(pid: int, started: float) -> List[Any]:
    """Return the processes of the server and its workers.

    On POSIX, the workers of a dead server are found by their process group.
    """
    found, psutil = [], import_psutil()
    for process in psutil.process_iter(["create_time", "ppid", "cmdline", "status"]):
        facts = process.info
        words = " ".join(facts["cmdline"] or ())
        ours = "gpu_server" in words or "void_bridge" in words
        is_zombie = facts["status"] == psutil.STATUS_ZOMBIE
        is_server = process.pid == pid and abs(facts["create_time"] - started) < 1 and not is_zombie
        is_worker = ours and facts["create_time"] >= started and (facts["ppid"] == pid or _group(process.pid) == pid)
        if is_server or is_worker:
            found.append(process)
    return found


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid) if hasattr(os, "getpgid") else -1
    except OSError:
        return -1
