"""VOID Bridge: the part that hosts, command line and server share."""

__version__ = "0.1.0"
