"""VOID Remove for the clip under the playhead: cleaned in its Fusion composition, and back in the media pool."""

import sys

VOID_BRIDGE_HOME = ""  # set by `void-bridge install resolve`


def _prepared(home: str) -> str:
    """Put the packages behind Fusion's own. Returns what is wrong, in words."""
    if sys.version_info < (3, 9):  # noqa: UP036  Resolve runs whatever Python is installed
        return f"needs Python 3.9 or later, this is {sys.version_info[0]}.{sys.version_info[1]}"
    if not home:
        return "is not installed; run void-bridge install resolve"
    if home + "/python" not in sys.path:
        sys.path.append(home + "/python")
    from host_plugins.compiled import add_packages

    return add_packages(home)


_wrong = _prepared(VOID_BRIDGE_HOME)
if _wrong:
    sys.stdout.write("VOID Remove: " + _wrong + "\n")
else:
    from host_plugins.resolve.timeline import script

    script(globals())
