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
from tests.fuzz.wire import attacked_server, send_random_messages

MEMORY_MB = 512  # that a target's process may take, Python and instrumentation among it
LENGTH_MAX = 8192
REPOSITORY = Path(__file__).resolve().parents[2]
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
_WIRE_MEMORY = 512 * 2**20


class FuzzFault(AssertionError):
    """An input brought a target down; the message holds it and what happened."""


@dataclass(frozen=True)
class FuzzRun:
    """The result of one target.

    Attributes:
        tried: number of inputs.
        refused: inputs that raised a VoidBridgeError; the others were read.
        peak_mb: memory of the child; 0 if unknown.
    """

    tried: int
    refused: int
    peak_mb: int

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {"tried": self.tried, "refused": self.refused, "peak MB": self.peak_mb}


def replay(target: str) -> FuzzRun:
    """Try the seeds alone, in this process."""
    refused = [is_refused(TARGETS[target], path.read_bytes()) for path in seeds(target)]
    return FuzzRun(len(refused), sum(refused), 0)


def fuzz(target: str, seconds: float, seed: int = 1) -> FuzzRun:
    """Fuzz one target. Needs atheris.

    Raises:
        FuzzFault: anything but a VoidBridgeError, an input that takes 10 s, or more than MEMORY_MB.
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
            raise FuzzFault(f"{target}, seed {seed}: {_fault_text(folder, done.stderr[-4000:] + done.stdout[-4000:])}")
        tried, refused = struct.unpack("<QQ", counts.read_bytes())
        peak = re.search(r"peak_rss_mb:\s*(\d+)", done.stderr)
        return FuzzRun(tried, refused, int(peak[1]) if peak else 0)


def _fault_text(folder: Path, output: str) -> str:
    found = [path.read_bytes() for pattern in ("crash-*", "oom-*", "timeout-*") for path in folder.glob(pattern)]
    return "\n".join([*(f"input {data[:2000]!r}" for data in found), output])


def fuzz_wire(seconds: float, seed: int) -> dict[str, int]:
    """Send random and almost valid messages to a live server, with hypothesis."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-server-") as name, attacked_server(Path(name)) as attacked:
        while time.monotonic() < end:
            send_random_messages(attacked, 100, seed)
            seed += 1
        attacked.check_serves()
        peak = attacked.peak_bytes()
        if peak > _WIRE_MEMORY:
            raise FuzzFault(f"the server took {peak >> 20} MB")
        return {"messages": attacked.messages, "refused": attacked.refusals.total(), "peak MB": peak >> 20}


def fuzz_for(seconds: float, seed: int) -> dict[str, dict[str, int]]:
    """Fuzz every target in equal shares of the time, and return counts by target.

    Raises:
        FuzzFault: a target failed.
        AssertionError: the live server failed.
    """
    share = seconds / (len(TARGETS) + 1)
    counts = {"live server": fuzz_wire(share, seed)}
    for target in TARGETS:
        counts[target] = (fuzz(target, share, seed) if HAS_ATHERIS else replay(target)).counts()
    return counts
