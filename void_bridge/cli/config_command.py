"""The command `void-bridge config show`, which prints every setting and its source."""

from __future__ import annotations

import argparse
import dataclasses

from void_bridge.cli.command import Command, add_json_option
from void_bridge.config import load, site_file, user_file
from void_bridge.typed import to_plain


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action `show`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="show")
    show = actions.add_parser("show", help="print every setting and where its value comes from")
    add_json_option(show)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings and the paths of both files."""
    config, sources, locked = load()
    settings = {}
    lines = []
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        lock = ", locked" if spec.name in locked else ""
        settings[spec.name] = {"value": to_plain(value), "source": sources[spec.name], "locked": spec.name in locked}
        lines.append(f"{spec.name:<15} {_text(value):<45} {sources[spec.name]}{lock}")
    for kind, path in (("user file", user_file()), ("site file", site_file())):
        lines.append(f"{kind}: {path}{'' if path.exists() else ' (not there)'}")
    arguments.outcome.set_without_job(settings=settings, user_file=str(user_file()), site_file=str(site_file()))
    if not arguments.json:
        arguments.outcome.summary("\n".join(lines))
    return 0


def _text(value: object) -> str:
    """Return a setting as text."""
    if isinstance(value, tuple):
        return "; ".join(value) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value) or "-"


CONFIG = Command("config", "show the configuration", configure, run)
