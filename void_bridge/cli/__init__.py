"""The command line. Each command is an entry point of the package that owns it."""
