"""`make torture`: kills at random moments, load and fuzzing, for as long as asked; prints what was counted.

python -m tests.torture [--seconds 1800] [--seed N] [--page docs/reference/reliability.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.run import fuzz_for
from tests.support.live_server import settings
from tests.torture.killable_server import KillableServer
from tests.torture.kills import VICTIMS, KillCounts
from tests.torture.load import LoadResult, MemoryGrowth, measure_memory_over, run_long_queue
from tests.torture.random_kills import random_kills
from void_bridge.processes import available_cores

BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
KILLS_SHARE, FUZZ_SHARE = 0.7, 0.2
JOBS, CLIENTS, GROWTH_JOBS = 200, 32, 500


def main() -> int:
    """Run everything, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=None, help="of the kills (default: another each time)")
    parser.add_argument("--page", type=Path, help="write the result between the marks of this page")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 2**31
    began = time.monotonic()
    print_line(f"torture: {arguments.seconds:.0f} s, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        for folder in ("kills", "load", "limited", "unlimited"):
            (Path(name) / folder).mkdir()
        counts = random_kills(Path(name) / "kills", KILLS_SHARE * arguments.seconds, seed, print_line)
        load, growth = _load(Path(name))
    left = arguments.seconds - (time.monotonic() - began)
    fuzzed = fuzz_for(max(FUZZ_SHARE * arguments.seconds, left), seed)
    text = report(counts, load, growth, fuzzed, seed, time.monotonic() - began)
    print_line(text)
    if arguments.page:
        write_between_marks(arguments.page, text)
    return 0


def _load(folder: Path) -> tuple[LoadResult, tuple[MemoryGrowth, MemoryGrowth]]:
    with KillableServer(settings(folder / "load")) as killable:
        load = run_long_queue(killable, folder / "load", CLIENTS, JOBS)
    print_line(f"load: {load}")
    grown = []
    for name, limit in (("limited", 2_000_000), ("unlimited", 0)):
        with KillableServer(settings(folder / name, spool_limit_bytes=limit)) as killable:
            grown.append(measure_memory_over(killable, folder / name, GROWTH_JOBS))
        print_line(f"memory, {name}: {grown[-1]}")
    return load, (grown[0], grown[1])


def report(
    counts: KillCounts,
    load: LoadResult,
    growth: tuple[MemoryGrowth, MemoryGrowth],
    fuzzed: dict[str, dict[str, int]],
    seed: int,
    seconds: float,
) -> str:
    """Return the report of this run as Markdown."""
    victims = Counter({victim: sum(n for (who, _), n in counts.kills.items() if who == victim) for victim in VICTIMS})
    stages: Counter[str] = Counter()
    for (_, stage), count in counts.kills.items():
        stages[stage] += count
    kept, free = growth
    rows = [
        ("ran for", f"{seconds / 60:.0f} minutes, {available_cores()} cores, {platform.system()}, seed {seed}"),
        ("kills that hit a running stage", f"{sum(victims.values())}: {_counts(victims)}"),
        ("in the stages", _counts(stages)),
        ("kills after the stage had ended, not counted", str(counts.missed)),
        ("jobs that continued in another attempt", str(counts.resumes)),
        ("frames delivered, identical to those of a run without kills", str(counts.frames)),
        ("frames acknowledged before a kill", str(counts.acknowledged)),
        ("of these lost; computed again", f"0; {counts.recomputed}"),
        ("left-over processes and half-written files", "0"),
        ("peak memory of server and worker", f"{counts.peak_mb:.0f} MB"),
        (f"{load.jobs} jobs of {load.clients} clients in the queue", f"done in {load.seconds:.1f} s"),
        ("time to answer status meanwhile: p50, p99, longest", " / ".join(f"{ms:.1f} ms" for ms in load.control_ms)),
        ("largest lead of one user over another; jobs overtaken", f"{load.unfair}; {load.overtaken}"),
        (f"memory of the server over {kept.jobs} jobs, spool with a limit", _growth(kept)),
        (f"the same, spool without a limit, {free.jobs} results kept", _growth(free)),
    ]
    rows += [(f"fuzzed: {target}", _counts(Counter(counts))) for target, counts in fuzzed.items()]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.most_common() if count)


def _growth(growth: MemoryGrowth) -> str:
    slope, low, high = growth.slope_kb_per_job
    return f"{growth.first_mb:.1f} to {growth.last_mb:.1f} MB, {slope:+.1f} kB a job ({low:+.1f} to {high:+.1f})"


def write_between_marks(page: Path, text: str) -> None:
    """Replace the report in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def print_line(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
