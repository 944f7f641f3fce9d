"""A DNS server on loopback over UDP: real questions, and answers that are late or never come.

What it does with a name is in the name: `hang…` is never answered, `late…` after `late_seconds`, `missing…` does not
exist, `half…` has an IPv4 address and its question for IPv6 is never answered. Names in `addresses` have those; every
other name is 127.0.0.1.
"""

import socket
import struct
import threading
from collections import Counter
from ipaddress import ip_address

A, AAAA = 1, 28
ANSWER, NO_SUCH_NAME = 0x8180, 0x8183
TTL_SECONDS = 0
"""So that nobody but the product itself remembers an answer."""


class NameServer:
    """Listens while its context lasts; `asked` counts the questions by name, without those for IPv6."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked: Counter[str] = Counter()
        self.late_seconds = 3.2
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> "NameServer":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                question, asker = self._socket.recvfrom(4096)
            except OSError:
                return
            self._handle(question, asker)

    def _handle(self, question: bytes, asker: object) -> None:
        name, kind, end = _read(question)
        self.asked[name] += kind == A
        if name.startswith("hang") or (name.startswith("half") and kind == AAAA):
            return
        answer = self._answer(question, name, kind, end)
        late = self.late_seconds if name.startswith("late") else 0.0
        timer = threading.Timer(late, self._send, (answer, asker))
        timer.daemon = True
        timer.start()

    def _send(self, answer: bytes, asker: tuple[str, int]) -> None:
        try:
            self._socket.sendto(answer, asker)
        except OSError:
            return

    def _answer(self, question: bytes, name: str, kind: int, end: int) -> bytes:
        found = [ip_address(each) for each in self.addresses.get(name, ["127.0.0.1"])]
        rows = [each.packed for each in found if (each.version == 4) == (kind == A) and kind in (A, AAAA)]
        flags = NO_SUCH_NAME if name.startswith("missing") else ANSWER
        rows = [] if flags == NO_SUCH_NAME else rows
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(rows), 0, 0)
        return head + question[12:end] + b"".join(_row(kind, each) for each in rows)


def _row(kind: int, address: bytes) -> bytes:
    return struct.pack(">HHHIH", 0xC00C, kind, 1, TTL_SECONDS, len(address)) + address


def _read(question: bytes) -> tuple[str, int, int]:
    """The name in small letters, the type, and where the question ends."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels).lower(), struct.unpack(">H", question[at + 1 : at + 3])[0], at + 5
