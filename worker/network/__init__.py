"""Outgoing sockets: which addresses may be reached, and the one HTTP transport, which enforces it."""
