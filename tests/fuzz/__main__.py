"""`python -m tests.fuzz TARGET --seconds N [--seed S]`: one target, or `all`."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.run import HAS_ATHERIS, FuzzFault, fuzz, fuzz_for
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not HAS_ATHERIS and arguments.target != "all":
        parser.error("atheris is not installed here; it has wheels for Linux on Python 3.11 to 3.13")
    try:
        if arguments.target == "all":
            counts = fuzz_for(arguments.seconds, arguments.seed)
        else:
            counts = {arguments.target: fuzz(arguments.target, arguments.seconds, arguments.seed).counts()}
    except FuzzFault as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    for target, counted in counts.items():
        sys.stdout.write(f"{target}: {', '.join(f'{count} {name}' for name, count in counted.items())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
