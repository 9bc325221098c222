"""`void-bridge-adaptor`. The runtime starts this module again as its daemon."""

from __future__ import annotations

import sys

from host_plugins.farm.adaptor.adaptor import VoidBridgeAdaptor


def main() -> int:
    from openjd.adaptor_runtime import EntryPoint

    EntryPoint(VoidBridgeAdaptor).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
