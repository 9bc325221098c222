"""The checks of `void-bridge doctor` for a server: GPU and driver, torch, weights, ports, the spool's files."""
