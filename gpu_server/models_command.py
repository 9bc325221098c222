"""`void-bridge models`: the weights of the VOID engine, checked, fetched, made and planned for."""

from __future__ import annotations

import argparse
from importlib import import_module

from void_bridge.cli.command import Command

_CHECKPOINT = "gpu_server.engines.void.checkpoint"
_ACTIONS = {
    "check": ("say what is there, whether it is whole, and what to get", f"{_CHECKPOINT}.check_command"),
    "fetch": ("get the published weights from the hub", f"{_CHECKPOINT}.fetch_command"),
    "init-tiny": ("write a tiny random checkpoint", f"{_CHECKPOINT}.tiny_command"),
    "plan": ("say what of the model lies where on a GPU, with bytes", "gpu_server.engines.void.planner.command"),
}
"""Name to its help and the module that does it, which offers `add_arguments(parser)` and `run(arguments)`."""


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (text, module) in _ACTIONS.items():
        child = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action = import_module(module)
        action.add_arguments(child)
        child.set_defaults(act=action.run)


def _run(arguments: argparse.Namespace) -> int:
    return int(arguments.act(arguments))


COMMAND = Command("models", "check, fetch, make and plan for the weights of the void engine", _configure, _run)
