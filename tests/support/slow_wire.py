"""A plain TCP proxy that holds one chosen segment up, as a network that loses a packet does: it still arrives."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 1 << 16


class SlowWire:
    """Forwards bytes both ways. What follows a held segment on its connection waits behind it."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._words, self._seconds = b"", 0.0
        self._lost, self._is_down = b"", False
        self._then_down = False
        self._clients: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.arrived = threading.Event()
        """Set once a held segment has gone on."""

    def hold_next(self, words: bytes, seconds: float) -> None:
        """The next segment to the server with these words is delivered so much later, whatever its sender does."""
        self._words, self._seconds = words, seconds

    def lose_reply(self, words: bytes, *, then_down: bool = False) -> None:
        """The next segment with these words reaches the server, and the connection breaks before any reply.

        `then_down`: no later connection gets through, and every other one breaks as well, so that nobody can ask.
        """
        self._lost, self._then_down = words, then_down

    def serve(self) -> None:
        """Until it is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                client.close()
                continue
            server = socket.create_connection(self._to)
            self._clients.add(client)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._forward_back, args=(server, client), daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), server:
            while part := client.recv(CHUNK):
                if self._lost and self._lost in part:
                    self._lost, self._is_down = b"", self._then_down
                    for each in list(self._clients) if self._is_down else [client]:
                        with suppress(OSError):  # it may be over already
                            each.shutdown(socket.SHUT_RDWR)
                    server.sendall(part)
                    time.sleep(0.5)  # it is done, and nobody hears of it
                    return
                held = bool(self._words) and self._words in part
                if held:
                    self._words = b""
                    time.sleep(self._seconds)
                server.sendall(part)
                if held:
                    self.arrived.set()
            server.shutdown(socket.SHUT_WR)
            time.sleep(1)  # a server that is told of the end at once would drop what it has not read

    @staticmethod
    def _forward_back(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), client:
            while part := server.recv(CHUNK):
                client.sendall(part)


@contextmanager
def slow_wire(port: int) -> Iterator[SlowWire]:
    """One before a server on that port."""
    wire = SlowWire(port)
    threading.Thread(target=wire.serve, daemon=True).start()
    try:
        yield wire
    finally:
        wire.close()
