"""VOID Bridge: what hosts, command line and server share."""

__version__ = "0.1.0"
