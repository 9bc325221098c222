"""Writes docs/reference/commands.md from the parsers of all registered commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import groupby

from tools.page import NOTE, REFERENCE, table
from tools.write_errors import EXIT_CODES
from void_bridge.cli.command import short_usage, value_name
from void_bridge.cli.main import GROUP, command_parser
from void_bridge.entry_points import find_entry_points

PAGE = REFERENCE / "commands.md"
HEAD = f"""# Commands

{NOTE}

`void-bridge --help` lists the commands, `void-bridge COMMAND --help` shows the options of one.

PLATE and SEQ are sequences such as `plate.####.exr` or `plate.%04d.exr`. JOB is a job's id, the `job.json` next to
its output, or the folder of that file. An option with a value is written `--handles 8` or `--handles=8`; options are
not abbreviated.

## Exit codes

{table(("exit code", "meaning"), ((f"`{code}`", text) for code, text in EXIT_CODES.items()))}
The codes of errors, and what to do about each, are in [Errors](errors.md).

## All commands

"""


def commands_page() -> str:
    """Return docs/reference/commands.md."""
    parser = command_parser(list(find_entry_points(GROUP).values()), skip_missing=False)
    commands = sorted(_commands(parser))
    rows = ((f"[`{name}`](#{name})", _sentence(help)) for name, help, _ in commands)
    parts = [HEAD, table(("command", "purpose"), rows)]
    for name, _, command in commands:
        parts += _sections(command, f"\n## {name}\n", "")
    return "".join(parts)


def _sections(parser: argparse.ArgumentParser, heading: str, help: str) -> Iterator[str]:
    """Yield the section of a command, then those of its actions.

    Args:
        parser: the parser of the command or the action.
        heading: the heading.
        help: the text below it, if the parser has none of its own.
    """
    yield heading
    yield f"{parser.description or _sentence(help)}\n"
    actions = list(_commands(parser))
    if not actions:
        yield f"\n```text\n{short_usage(parser)}\n```\n"
    yield from _epilog(parser.epilog or "")
    if not actions:
        yield from _groups(parser)
    for name, text, action in actions:
        yield from _sections(action, f"\n### {parser.prog.removeprefix('void-bridge ')} {name}\n", text)


def _groups(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield a table of each group of arguments."""
    arguments = set(_arguments(parser))
    for group in parser._action_groups:
        rows = [(_name(each), _help(parser, each)) for each in group._group_actions if each in arguments]
        title = {"positional arguments": "arguments"}.get(group.title or "", group.title or "")
        if rows:
            note = f'<span class="detail">{_sentence(group.description)}</span>' if group.description else ""
            yield "\n" + table((title, note), rows)


def _epilog(text: str) -> Iterator[str]:
    """Yield the text that a command's help ends with: its indented lines are examples."""
    lines = [line for line in text.splitlines() if line.strip()]
    for is_example, block in groupby(lines, key=lambda line: line[:1].isspace()):
        words = "\n".join(line.removeprefix("  ") for line in block)
        mark = "run: after demo" if "demo_out" in words else "not run: it needs files, keys or machines of a studio"
        yield f"\n<!-- {mark} -->\n```sh\n{words}\n```\n" if is_example else f"\n{words}\n"


def _name(action: argparse.Action) -> str:
    """Return an argument, or an option in all its spellings with its value."""
    if not action.option_strings:
        return f"`{value_name(action)}`"
    value = "" if action.nargs == 0 else f" {value_name(action)}"
    return ", ".join(f"`{text}{value}`" for text in action.option_strings)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument, with its default where the help shows it."""
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser without --help, --version and what is hidden."""
    left_out = (argparse._HelpAction, argparse._VersionAction, argparse._SubParsersAction)
    return [each for each in parser._actions if not isinstance(each, left_out) and each.help != argparse.SUPPRESS]


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name, the help and the parser of each command below a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            yield from ((name, helps[name], child) for name, child in action.choices.items() if name in helps)


def _sentence(help: str) -> str:
    """Return a line of help as a sentence."""
    return f"{help[:1].upper()}{help[1:].rstrip('.')}." if help else ""
