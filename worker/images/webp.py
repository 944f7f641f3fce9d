"""The structure of a WebP file: where it ends, and how many chunks it has. libwebp itself checks that they are whole.

A chunk is a name of 4 bytes, its length in 4 bytes (little-endian), and its data, filled up to an even length.
"""

import struct

from worker.images.broken import BrokenImage

FIRST_CHUNK = 12
MOST_CHUNKS = 4_096
"""An encoder writes about six. libwebp keeps a list of all of them."""


def is_webp(data: bytes) -> bool:
    """Whether the bytes begin as a WebP file does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def end_of_webp(data: bytes) -> int:
    """The byte offset at which the image ends. Raises BrokenImage."""
    end = 8 + _even(data, 4)
    if end > len(data):
        raise BrokenImage("is a WebP that is cut short")
    at = FIRST_CHUNK
    for _ in range(MOST_CHUNKS):
        if at + 8 > end:
            return end
        at += 8 + _even(data, at + 4)
    raise BrokenImage(f"is a WebP of more than {MOST_CHUNKS} chunks")


def _even(data: bytes, at: int) -> int:
    (size,) = struct.unpack_from("<I", data, at)
    return int(size + (size & 1))
