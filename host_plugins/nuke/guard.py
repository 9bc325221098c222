"""What keeps an action from doing harm: errors become messages, news of a node that is gone are nobody's."""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import Any, Callable

import nuke

from host_plugins.control.error_messages import artist_message
from void_bridge.errors import Cancelled, VoidBridgeError

log = logging.getLogger(__name__)


def report_errors(action: Callable[..., Any]) -> Callable[..., None]:
    """What an action raises becomes a message in the artist's words."""

    @functools.wraps(action)
    def guarded(node: nuke.Node, *more: Any) -> None:
        try:
            action(node, *more)
        except Cancelled as exc:
            node["status"].setValue(artist_message(exc))
        except Exception as exc:
            if not isinstance(exc, VoidBridgeError):
                log.exception("%s failed", action.__name__)
            nuke.message(f"{node.name()}: {artist_message(exc)}")

    return guarded


def if_node_exists(node: nuke.Node, call: Callable[..., Any]) -> Callable[..., None]:
    """A node that was deleted meanwhile makes every use of it a ValueError; its news are nobody's."""

    def guarded(*arguments: Any) -> None:
        with suppress(ValueError):
            node.name()
            call(*arguments)

    return guarded
