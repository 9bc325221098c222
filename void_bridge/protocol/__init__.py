"""The wire protocol: messages.py declares its messages, framing.py encodes them. docs/protocol.md is the authority."""
