"""The console script completes commands, options and choices, as argcomplete's shell function calls it."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("argcomplete")

SCRIPT = Path(sysconfig.get_path("scripts"), "void-bridge")


def completions(line: str, tmp_path: Path) -> list[str]:
    """Return what follows on a line of a shell, with its cursor at the end."""
    found = tmp_path / "completions"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(found), "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    subprocess.run([str(SCRIPT)], env=environment, check=True, timeout=60, capture_output=True)
    return sorted(word.strip() for word in found.read_text().splitlines())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("void-bridge rem", ["remove"]),
        ("void-bridge remove --pre", ["--precision"]),
        ("void-bridge remove --precision fp8", ["fp8", "fp8-stored"]),
        ("void-bridge remove plate.####.exr --grain o", ["off", "on"]),
        ("void-bridge submit --model-fps=n", ["--model-fps=native"]),
        ("void-bridge quadmask --invert-k", ["--invert-keep"]),
    ],
)
def test_a_word_is_completed(line, words, tmp_path):
    assert completions(line, tmp_path) == words
