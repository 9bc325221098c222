"""VOID Bridge for Nuke: makes its packages importable. Nuke runs this in the interface and in the terminal."""


def _prepare_void_bridge() -> None:
    import sys
    from pathlib import Path

    home = Path(__file__).absolute().parent
    wrong = "needs Nuke 14 or later"
    if sys.version_info >= (3, 9):  # noqa: UP036  Nuke 13 reads this file too
        if str(home / "python") not in sys.path:
            sys.path.append(str(home / "python"))
        try:
            from host_plugins.compiled import add_packages

            wrong = add_packages(str(home))
        except Exception as exc:  # an error here would keep Nuke from starting
            wrong = f"cannot be loaded: {exc}; run void-bridge install nuke again"
    if wrong:
        sys.stderr.write(f"VOID Bridge: {wrong}\n")


_prepare_void_bridge()  # a function, for these scripts may share their names with others'
del _prepare_void_bridge
