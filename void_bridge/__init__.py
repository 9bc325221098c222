"""VOID Bridge: the part that hosts, command line and server share."""

from void_bridge.version import __version__

__all__ = ["__version__"]
