"""Run coverage-guided targets for a bounded time, each in a child process, from the seeds that are kept."""

from __future__ import annotations

import importlib.util
import re
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import SEEDS, TARGETS, is_refused, seeds
from tests.fuzz.wire import besieged, throw_messages

MEMORY_MB = 512  # that a target's process may take, Python and instrumentation among it
LENGTH_MAX = 8192
REPOSITORY = Path(__file__).resolve().parents[2]
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
_WIRE_MEMORY = 512 * 2**20


class Fault(AssertionError):
    """An input brought a target down; the message holds it and what happened."""


@dataclass(frozen=True)
class Run:
    """tried: inputs; refused: with a VoidBridgeError, the others were read. peak_mb: of the child, 0 if unknown."""

    tried: int
    refused: int
    peak_mb: int

    def counts(self) -> dict[str, int]:
        return {"tried": self.tried, "refused": self.refused, "peak MB": self.peak_mb}


def replay(target: str) -> Run:
    """The seeds alone, in this process."""
    refused = [is_refused(TARGETS[target], path.read_bytes()) for path in seeds(target)]
    return Run(len(refused), sum(refused), 0)


def fuzz(target: str, seconds: float, seed: int = 1) -> Run:
    """Fuzz one target. Needs atheris.

    Raises:
        Fault: anything but a VoidBridgeError, an input that takes 10 s, or more than MEMORY_MB.
    """
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as name:
        folder = Path(name)
        counts, corpus = folder / "counts", folder / "corpus"
        counts.write_bytes(bytes(16))
        corpus.mkdir()
        options = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-seed={seed % 2**31 or 1}",
            f"-max_len={LENGTH_MAX}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={folder}/",
            "-timeout=10",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "tests.fuzz.child", target, str(counts), *options, str(corpus)]
        done = subprocess.run(
            [*command, str(SEEDS / target)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + 120,
        )
        if done.returncode:
            raise Fault(f"{target}, seed {seed}: {_what_happened(folder, done.stderr[-4000:] + done.stdout[-4000:])}")
        tried, refused = struct.unpack("<QQ", counts.read_bytes())
        peak = re.search(r"peak_rss_mb:\s*(\d+)", done.stderr)
        return Run(tried, refused, int(peak[1]) if peak else 0)


def _what_happened(folder: Path, said: str) -> str:
    found = [path.read_bytes() for pattern in ("crash-*", "oom-*", "timeout-*") for path in folder.glob(pattern)]
    return "\n".join([*(f"input {data[:2000]!r}" for data in found), said])


def fuzz_wire(seconds: float, seed: int) -> dict[str, int]:
    """Random and almost valid messages to a live server, with hypothesis."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-server-") as name, besieged(Path(name)) as siege:
        while time.monotonic() < end:
            throw_messages(siege, 100, seed)
            seed += 1
        siege.holds()
        peak = siege.peak_bytes()
        if peak > _WIRE_MEMORY:
            raise Fault(f"the server took {peak >> 20} MB")
        return {"messages": siege.messages, "refused": siege.refusals.total(), "peak MB": peak >> 20}


def fuzz_for(seconds: float, seed: int) -> dict[str, dict[str, int]]:
    """Everything, in equal shares of the time. Counts by target.

    Raises:
        Fault, AssertionError: something gave way.
    """
    share = seconds / (len(TARGETS) + 1)
    counts = {"live server": fuzz_wire(share, seed)}
    for target in TARGETS:
        counts[target] = (fuzz(target, share, seed) if HAS_ATHERIS else replay(target)).counts()
    return counts
