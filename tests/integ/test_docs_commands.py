"""The shell commands of README.md and docs/ run as they are printed.

A comment before each block of shell commands says how the test treats it; readers do not see it:

    <!-- run: after demo -->       run it in a folder that holds `demo_out/`, as `void-bridge demo` makes it
    <!-- run -->                   run it in an empty folder
    <!-- not run: the reason -->   it needs a GPU, a host, a network, another machine, or the repository

The blocks of a page run in order, in one folder for each of the two kinds, against one server on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpu_server.private_server import private_server
from tests.support.live_server import REPOSITORY
from void_bridge.client.launch import child_environment

TIMEOUT_S = 120.0
SMALL_DEMO = ("--size", "192x108", "--length", "6")
SHELLS = ("bash", "console", "sh")

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (?:(?P<run>run(?:: after demo)?)|not run: (?P<reason>[^\n]+)) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A block of shell commands on a page.

    Attributes:
        place: the page and the line on which the block begins.
        commands: the commands, without prompts.
        mark: "run", "run: after demo", "not run", or "" where the page says nothing.
    """

    place: str
    commands: str
    mark: str


def name(page):
    return str(page.relative_to(REPOSITORY))


def fences(page):
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        yield fence, text[: fence.start()], f"{name(page)}:{text.count(chr(10), 0, fence.start()) + 1}"


def blocks(page):
    for fence, before, place in fences(page):
        language, body = fence["info"].partition(" ")[0], fence["body"]
        if language not in SHELLS:
            continue
        if language == "console":
            body = "".join(line[2:] for line in body.splitlines(keepends=True) if line.startswith("$ "))
        mark = MARK.search(before)
        yield Block(place, body, "" if mark is None else mark["run"] or "not run")


def runnable(page):
    return [block for block in blocks(page) if block.mark.startswith("run")]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the environment of a shell that reaches a server of this test, and none else."""
    folder = tmp_path_factory.mktemp("server")
    home = folder / "home"
    home.mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("VOID_BRIDGE_", "OCIO"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with private_server(folder / "server", keys=folder / "keys") as server:
        yield {
            **clean,
            **{key: value for key, value in child_environment(server.config).items() if key.startswith("VOID_BRIDGE_")},
            "VOID_BRIDGE_CONFIG": str(folder / "none.toml"),
            "HOME": str(home),
            "PATH": path,
        }


@pytest.fixture(scope="module")
def footage(tmp_path_factory, environment):
    """Return a folder that holds `demo_out/`."""
    folder = tmp_path_factory.mktemp("footage")
    run(f"void-bridge demo --out demo_out {' '.join(SMALL_DEMO)}", folder, environment, "the demo")
    return folder


def run(commands, folder, environment, place):
    """Run commands in bash; nothing that they started is left afterwards."""
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=TIMEOUT_S)
    finally:
        if left_over(shell.pid):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, f"{place}: exit code {shell.returncode}\n{commands}\n{output}"


def left_over(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_the_commands_of_a_page_run_as_printed(page, tmp_path, environment, footage):
    plain, after_demo = tmp_path / "plain", tmp_path / "after_demo"
    plain.mkdir()
    shutil.copytree(footage, after_demo)
    for block in runnable(page):
        run(block.commands, plain if block.mark == "run" else after_demo, environment, block.place)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_of_commands_says_whether_it_runs(page):
    unmarked = [block.place for block in blocks(page) if not block.mark]
    assert not unmarked, "expected <!-- run -->, <!-- run: after demo --> or <!-- not run: why --> before the block"
    unnamed = [place for fence, _, place in fences(page) if not fence["info"].strip()]
    assert not unnamed, "expected the language of the block: bash, text, python, toml, ..."
