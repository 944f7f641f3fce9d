"""The structure of a PNG file: where it ends, and whether every row that its header declares is there.

Pillow decodes the rows that exist and leaves the others black. So rows are counted here, by inflating them once more.
"""

import struct
import zlib
from collections.abc import Iterator

from worker.images.broken import BrokenImage

HEAD = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel, by colour type."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The seven passes of an interlaced image: first column, first row, step across, step down."""
PIECE_BYTES = 2**18
MOST_CHUNKS = 65_536
"""An encoder writes one for each 8 KiB of its stream, and a few more. Each costs us and Pillow a step of Python."""

Chunk = tuple[bytes, int, int]
"""A chunk's kind, and the byte offsets at which its data start and end."""


def end_of_png(data: bytes) -> int:
    """The byte offset at which the image ends. Raises BrokenImage."""
    for number, (kind, _, end) in enumerate(_chunks(data)):
        if kind == b"IEND":
            return end + 4
        if number >= MOST_CHUNKS:
            raise BrokenImage(f"is a PNG of more than {MOST_CHUNKS} chunks")
    raise BrokenImage("is a PNG that is cut short")


def rows_are_whole(data: bytes) -> bool:
    """Whether the inflated rows have exactly the size that the header declares, and their stream has its end.

    Called after the header was found to be within the limits. Holds only a piece of the rows at a time, and stops at
    the first byte too many.
    """
    head = data[16:29]
    wanted = _bytes_of_rows(*struct.unpack(">IIBBxxB", head))
    unpacker = zlib.decompressobj()
    got = 0
    for kind, start, end in _chunks(data):
        for at in range(start, end if kind == b"IDAT" else start, PIECE_BYTES):
            got += sum(map(len, _inflated(unpacker, data[at : min(end, at + PIECE_BYTES)], wanted - got)))
    return unpacker.eof and got == wanted


def _inflated(unpacker: "zlib._Decompress", packed: bytes, most: int) -> Iterator[bytes]:
    """The rows in a piece of the stream. zlib copies what is left of it with each call, so pieces are small."""
    while most >= 0 and not unpacker.eof:
        piece = unpacker.decompress(packed, PIECE_BYTES)
        packed, most = unpacker.unconsumed_tail, most - len(piece)
        yield piece
        if not packed and len(piece) < PIECE_BYTES:
            return


def _chunks(data: bytes) -> Iterator[Chunk]:
    at = len(HEAD)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        start, end = at + 8, at + 8 + int(length)
        if end + 4 > len(data):
            return
        yield data[at + 4 : start], start, end
        at = end + 4


def _bytes_of_rows(width: int, height: int, depth: int, colour: int, interlaced: int) -> int:
    bits = depth * CHANNELS[colour]
    if not interlaced:
        return _bytes_of_pass(width, height, bits)
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in ADAM7)
    return sum(_bytes_of_pass(wide, high, bits) for wide, high in sizes if wide > 0 and high > 0)


def _bytes_of_pass(width: int, height: int, bits: int) -> int:
    """Every row has a byte before it that names its filter."""
    return height * (1 + -(-width * bits // 8))
