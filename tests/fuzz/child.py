"""One target under atheris, in a process of its own: `python -m tests.fuzz.child TARGET COUNTS [libFuzzer's options]`.

COUNTS is a file of two numbers of 64 bits, tried and refused, kept up to date as libFuzzer ends the process itself.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys

import atheris

with atheris.instrument_imports(include=["void_bridge", "gpu_server", "fileseq", "json"]):
    from tests.fuzz.targets import TARGETS, is_refused


def main() -> None:
    """Run the target in a fork: at exec, libFuzzer would count the memory of the process that started it as its own."""
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    _, name, counts, *options = sys.argv
    target = TARGETS[name]
    with open(counts, "r+b") as file:
        shown = mmap.mmap(file.fileno(), 16)
    tried = refused = 0

    def one(data: bytes) -> None:
        nonlocal tried, refused
        tried += 1
        refused += is_refused(target, data)
        struct.pack_into("<QQ", shown, 0, tried, refused)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
