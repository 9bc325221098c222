"""The server, its workers and its engines. Knows void_bridge, and nothing of host_plugins."""
