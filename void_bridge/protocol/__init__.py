"""The wire protocol: messages.py declares it, framing.py encodes it. docs/reference/protocol.md is the authority."""
