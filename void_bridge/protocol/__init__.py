"""The wire: messages.py says what, framing.py how. docs/protocol.md is the authority."""
