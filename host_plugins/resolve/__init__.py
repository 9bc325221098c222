"""VOID Bridge in Fusion and Resolve: scripts over `host_plugins.control`.

Fusion passes its objects to a script as globals, which `host.py` reads; nothing is imported from Fusion. Its API is
used on the script's own thread alone. The types are those of typings/fusionscript.pyi.
"""
