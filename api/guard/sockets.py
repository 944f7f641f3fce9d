"""What the system itself keeps for a connection: it would take megabytes of what nobody reads, in memory of its own."""

import socket

from api.guard import bounds


def bound_buffers(listener: socket.socket) -> None:
    """Bounds both buffers of every connection that is accepted from this socket (Linux allows twice as much)."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, bounds.SYSTEM_BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bounds.SYSTEM_BUFFER_BYTES)
