"""VOID Remove Self-test: a report on what only this host can verify. Run it on an open composition."""

import sys

VOID_BRIDGE_HOME = ""  # set by `void-bridge install resolve`


def _add_packages(home: str) -> str:
    """Append the packages to `sys.path`, behind Fusion's own, and return what is wrong, if anything."""
    if sys.version_info < (3, 9):  # noqa: UP036  Resolve runs whatever Python is installed
        return f"needs Python 3.9 or later, this is {sys.version_info[0]}.{sys.version_info[1]}"
    if not home:
        return "is not installed; run void-bridge install resolve"
    if home + "/python" not in sys.path:
        sys.path.append(home + "/python")
    from host_plugins.compiled import add_packages

    return add_packages(home)


_error = _add_packages(VOID_BRIDGE_HOME)
if _error:
    sys.stdout.write("VOID Remove: " + _error + "\n")
else:
    from host_plugins.resolve.selftest import script

    script(globals())
