"""Asks again and again on connections of its own, as somebody would who has nothing to do with an attack.

Its own process, so that the attacker's work is not counted as the server's: `python -m tests.support.probe PORT` asks
`/healthz`; with an API key behind it, it posts jobs. Prints an empty line when it begins, ends with its input, and
prints how long each answer took, in seconds; one that failed counts as a whole minute.
"""

import json
import select
import socket
import sys
import time

PAUSE_SECONDS = 0.02
FAILED_SECONDS = 60.0
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n"
ORDER = b'{"model_id":"m","prompt":"a quiet street"}'


def accept(key: str) -> bytes:
    """The request that posts a job."""
    head = f"POST /v1/jobs HTTP/1.1\r\nhost: probe\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
    return f"{head}content-length: {len(ORDER)}\r\n\r\n".encode() + ORDER


def asked(port: int, request: bytes) -> float:
    """How long one answer took, from dialling to its last byte."""
    began = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    except OSError:
        return FAILED_SECONDS
    return time.perf_counter() - began if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")) else FAILED_SECONDS


def main(port: int, key: str = "") -> None:
    """Asks until the input ends."""
    request = accept(key) if key else HEALTH
    took = []
    print(flush=True)  # it has begun
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        took.append(asked(port, request))
    print(json.dumps(took))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
