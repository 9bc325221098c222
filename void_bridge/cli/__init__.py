"""The command line. Commands are entry points of the packages that own them."""
