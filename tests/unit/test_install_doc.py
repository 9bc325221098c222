"""docs/tds/plugins.md is held against the code, and its examples are run."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from host_plugins.install.command import COMMAND
from host_plugins.install.hosts import NUKE_PYTHONS, RESOLVE_PYTHONS
from host_plugins.install.init_file import LINE
from host_plugins.install.plugin_files import FOLDER
from host_plugins.install.wheels import PLATFORMS
from tests.support.commands import parsed_command

PAGE = (Path(__file__).parents[2] / "docs" / "tds" / "plugins.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^void-bridge install ([^#\n]*)", PAGE, re.MULTILINE)


def test_the_line_for_nuke_is_the_one_that_is_written():
    assert PYTHON_BLOCKS[0] == f"{LINE}\n"


def test_the_rez_package_puts_the_folder_on_nukes_path():
    """Run with a stand-in for rez's `env`; rez itself was run by hand."""
    paths: list[str] = []
    package: dict[str, object] = {"env": SimpleNamespace(NUKE_PATH=paths)}
    exec(compile(PYTHON_BLOCKS[1], "package.py", "exec"), package)
    package["commands"]()
    assert (package["name"], paths) == ("void_bridge", [f"{{root}}/{FOLDER}"])


@pytest.mark.parametrize("words", COMMANDS)
def test_the_commands_are_understood(words):
    assert parsed_command(COMMAND, *words.split()).host in ("nuke", "resolve")


def test_the_hosts_are_those_of_the_code():
    assert dict(re.findall(r"\| Nuke (\d+) \| ([\d.]+) \|", PAGE)) == {str(k): v for k, v in NUKE_PYTHONS.items()}
    assert f"packages for {', '.join(RESOLVE_PYTHONS[:-1])} and {RESOLVE_PYTHONS[-1]}" in PAGE
    assert all(f"`{platform}`" in PAGE for platform in PLATFORMS)
