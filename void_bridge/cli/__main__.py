"""`python -m void_bridge.cli`: what the console script does, for an absolute Python."""

import sys

from void_bridge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
