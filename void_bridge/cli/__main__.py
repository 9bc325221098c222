"""The command line as `python -m void_bridge.cli`, for a given Python."""

import sys

from void_bridge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
