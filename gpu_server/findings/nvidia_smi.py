"""The cards and their processes, as NVIDIA's own program reports them, within a time limit: a driver may hang.

Fields as `nvidia-smi --help-query-gpu` names them; exit codes as its manual page lists them.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 10.0
_FIELDS = ("index", "uuid", "name", "driver_version", "memory.total", "memory.used", "compute_mode", "compute_cap")
_OLD_FIELDS = _FIELDS[:-1]  # drivers before 510 know no compute_cap
_PROCESSES = ("gpu_uuid", "pid", "process_name", "used_memory")
_OTHER_PATHS = (Path("/usr/lib/wsl/lib/nvidia-smi"), Path(r"C:\Windows\System32\nvidia-smi.exe"))
_KNOWN_ERRORS: tuple[tuple[str, int, str, str], ...] = (
    (
        "version mismatch",
        18,
        "the driver was updated, but the old version is still loaded",
        "restart this machine, so that the new driver is loaded",
    ),
    (
        "communicate with the NVIDIA driver",
        9,
        "the NVIDIA driver is not loaded",
        "install the driver for this kernel and restart; with Secure Boot its modules have to be signed",
    ),
    (
        "Insufficient Permissions",
        4,
        "this user may not open the GPU",
        "add this user to the group of /dev/nvidia0 (ls -l /dev/nvidia0), then log in again",
    ),
    (
        "GPU is lost",
        15,
        "a GPU no longer answers the driver",
        "restart this machine; the reason is in the kernel's log (dmesg, lines with Xid): heat, power, or the card",
    ),
    (
        "Unknown Error",
        999,
        "the driver reports an unknown error; a container may have lost its GPU",
        "restart the container, or this machine",
    ),
    (
        "couldn't find libnvidia-ml",
        12,
        "the driver's library (NVML) is missing",
        "reinstall the driver, so that library and kernel module have one version",
    ),
)


class NvidiaSmiError(Exception):
    """The program does not name any card.

    Attributes:
        problem: the reason, in words.
        fix: the remedy, in words.
        is_absent: whether there is no GPU, which may be right.
    """

    def __init__(self, problem: str, fix: str, is_absent: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.fix, self.is_absent = problem, fix, is_absent


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        index: number of the card.
        uuid: id of the card.
        name: of the model.
        driver: version of the driver.
        total: memory in bytes; None if the driver does not tell.
        used: memory in use, in bytes.
        mode: compute mode.
        capability: of CUDA; (0, 0) if the driver does not tell.
    """

    index: str
    uuid: str
    name: str
    driver: str
    total: int | None
    used: int
    mode: str = "Default"
    capability: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class GpuProcess:
    """A process that holds memory of a card, in bytes."""

    uuid: str
    pid: str
    name: str
    used: int


def nvidia_smi_path() -> str:
    """Return the path of the program; empty if it is not installed."""
    others = (str(path) for path in _OTHER_PATHS if path.is_file())
    return shutil.which("nvidia-smi") or next(others, "")


def cards() -> list[Card]:
    """Return the cards in the driver's order.

    Raises:
        NvidiaSmiError: the program is not there, fails, or takes too long.
    """
    code, output = _query("gpu", _FIELDS)
    if code and "not a valid field" in output:
        code, output = _query("gpu", _OLD_FIELDS)
    if "No devices were found" in output:
        raise NvidiaSmiError(
            "the driver is loaded and finds no GPU",
            "check that the card has power and lspci lists it; give a container its GPUs (--gpus all)",
            is_absent=True,
        )
    found = [_card(row) for row in _rows(output, len(_OLD_FIELDS))] if not code else []
    if not found:
        raise _error_from(code, output)
    return found


def gpu_processes() -> list[GpuProcess]:
    """Return the processes that hold memory of a card; none if the driver does not tell."""
    try:
        code, output = _query("compute-apps", _PROCESSES)
    except NvidiaSmiError:
        return []
    rows = _rows(output, len(_PROCESSES)) if not code else []
    return [GpuProcess(uuid, pid, Path(name).name or name, _bytes(used) or 0) for uuid, pid, name, used in rows]


def _query(subject: str, fields: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the output of a query.

    Raises:
        NvidiaSmiError: the program is not there, or does not answer in time.
    """
    command = [nvidia_smi_path(), f"--query-{subject}={','.join(fields)}", "--format=csv,noheader,nounits"]
    if not command[0]:
        raise NvidiaSmiError("nvidia-smi is not installed", "install the NVIDIA driver with its tools", is_absent=True)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as exc:
        raise NvidiaSmiError(f"cannot run {command[0]}: {exc.strerror or exc}", "reinstall the NVIDIA driver") from exc
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that waits for the kernel cannot even be killed
            process.communicate(timeout=1.0)
        raise NvidiaSmiError(
            f"nvidia-smi does not answer in {LIMIT_S:g} s: the driver hangs, or is loaded again for each call",
            "look for Xid in dmesg and restart this machine; nvidia-persistenced keeps a driver loaded",
        ) from None
    return process.returncode, output


def _error_from(code: int, output: str) -> NvidiaSmiError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for words, number, problem, fix in _KNOWN_ERRORS:
        if words.lower() in output.lower() or code == number:
            return NvidiaSmiError(f"{problem} (nvidia-smi: {lines[0][:200] if lines else code})", fix)
    first = lines[0][:200] if lines else "nothing"
    return NvidiaSmiError(f"nvidia-smi ended with {code} and said {first!r}", "run nvidia-smi; reinstall the driver")


def _rows(output: str, least: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(output.splitlines())]
    return [row for row in rows if len(row) >= least]


def _card(row: list[str]) -> Card:
    index, uuid, name, driver, total, used, mode, *rest = row
    digits = re.fullmatch(r"(\d+)\.(\d+)", rest[0]) if rest else None
    capability = (int(digits[1]), int(digits[2])) if digits else (0, 0)
    return Card(index, uuid, name, driver, _bytes(total), _bytes(used) or 0, mode, capability)


def _bytes(mebibytes: str) -> int | None:
    """Return bytes, or None for `[N/A]` and the like: the driver does not tell."""
    return int(mebibytes) * 2**20 if mebibytes.isdecimal() else None
