"""VOID Bridge in Fusion and Resolve: scripts over `host_plugins.control`.

Fusion hands its objects to a script as globals; `host.py` picks them up, and nothing is imported from Fusion. Its API
is used on the script's own thread alone. Types are those of typings/fusionscript.pyi.
"""
