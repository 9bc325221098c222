"""Run by Nuke when its interface starts, after init.py, which has said what is missing if anything is."""


def _add_void_bridge_menu() -> None:
    import sys

    try:
        from host_plugins.nuke.interface import add_menu

        add_menu()
    except Exception as exc:  # an error here would keep Nuke from starting
        sys.stderr.write(f"VOID Bridge: no menu: {exc}; run void-bridge install nuke again\n")


_add_void_bridge_menu()  # a function, for these scripts may share their names with others'
del _add_void_bridge_menu
