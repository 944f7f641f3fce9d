"""A decoder's child that does what a hostile image could make it do: the bytes say what.

Run as `python -m tests.support.poison_child`, with the limits of the real one.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from tempfile import TemporaryFile

from worker.images.child import serve
from worker.images.decoded import DecodedImage, inspect


def _spin() -> None:
    while True:
        pass


def _write_a_file() -> None:
    with TemporaryFile() as file:
        file.write(b"x")


POISONS: dict[bytes, Callable[[], object]] = {
    b"segfault": lambda: ctypes.string_at(0),
    b"abort": os.abort,
    b"exit": lambda: os._exit(0),
    b"memory": lambda: bytearray(8 * 1024**3),
    b"spin": _spin,
    b"file": _write_a_file,
    b"silence": lambda: os.close(1),
}


def look(data: bytes, max_pixels: int) -> DecodedImage:
    """Takes the poison, or looks as the real child does."""
    if poison := POISONS.get(data):
        poison()
    return inspect(data, max_pixels)


if __name__ == "__main__":
    serve(look, int(sys.argv[1]))
