"""The structure of a JPEG file: where it ends, and how to notice a scan that is cut short.

libjpeg decodes a truncated scan as if zeros followed, with a warning that Pillow does not pass on. But it skips bytes
behind a complete scan. So a copy with noise behind every scan (`with_noise`) decodes to the same pixels if all scans
are complete. If one is truncated, the noise is taken for the missing data, and the pixels differ.

Not detected: a cut in the last two bytes of a scan, where rounding may hide the difference (4 of 42,220 cuts of small
images passed), and arithmetic coding, whose scans end with the same zeros.

The file is walked once, in time linear in its size, and refused where it has more of anything than an encoder writes:
libjpeg goes through all coefficients once per scan, and Pillow takes a step of Python per segment and fill byte.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from worker.images.broken import BrokenImage

HEAD = b"\xff\xd8\xff"
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xC6})
ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
RESTART = re.compile(rb"(?<!\xff)\xff++[\xd0-\xd7]")
"""With the fill bytes before it. It does not backtrack over them, so a file full of them takes no longer than another.
"""
FILL = re.compile(rb"\xff*")
MOST_SCANS = 64
"""A progressive image has about ten, and at most 4 × 15 by any script that is in use."""
MOST_SEGMENTS = 1_024
"""Above three for each scan, and 255 of a colour profile. Pillow copies what it has of an EXIF block with each part."""
MOST_RESTARTS = 2**18
"""One for each block of 8 × 8 pixels of the largest image."""
MOST_FILL_BYTES = 65_536
OTHERS = bytes({*range(256)} - {0, 0xFF, *range(0xD0, 0xD8)})
KINDS = bytes.maketrans(b"\xff\x00\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7" + OTHERS, b"F0RRRRRRRR" + b"m" * len(OTHERS))
"""Each byte as its kind, so that one search at memory speed finds what a regular expression would walk to: F(ill or
first of a marker), 0, R(estart), m (any other)."""
NOISE = b"\xb5" + b"".join(hashlib.sha256(bytes([n])).digest() for n in range(8)).replace(b"\xff", b"\xb5")
"""Begins with a one bit where libjpeg continues with zeros, so that even one missing bit makes a difference."""
RESTART_NOISE_BEFORE = NOISE[:16].replace(b"\\", b"\xb5") + rb"\g<0>"


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with its data, by byte offsets; `data_end` is where the entropy-coded bytes of a scan end."""

    marker: int
    start: int
    end: int
    data_end: int
    restarts: int = 0
    """In the entropy-coded bytes."""


def segments(data: bytes) -> tuple[Segment, ...]:
    """Every marker segment up to and including the end of the image. Raises BrokenImage."""
    found: list[Segment] = []
    for each in _walk(data):
        found.append(each)
        if len(found) > MOST_SEGMENTS:
            raise BrokenImage(f"is a JPEG of more than {MOST_SEGMENTS} segments")
    scans = [each for each in found if each.marker == START_OF_SCAN]
    if len(scans) > MOST_SCANS:
        raise BrokenImage(f"is a JPEG of more than {MOST_SCANS} scans")
    if sum(each.restarts for each in scans) > MOST_RESTARTS:
        raise BrokenImage(f"is a JPEG of more than {MOST_RESTARTS} restarts")
    return tuple(found)


def with_noise(data: bytes, found: tuple[Segment, ...]) -> bytes | None:
    """The same image with noise behind every scan and every part of one; None for arithmetic coding."""
    parts: list[bytes] = []
    at = 0
    for each in found:
        if each.marker in ARITHMETIC:
            return None
        if each.marker == START_OF_SCAN:
            scan = data[each.end : each.data_end]
            noisy = RESTART.sub(RESTART_NOISE_BEFORE, scan) if each.restarts else scan
            parts += [data[at : each.end], noisy, NOISE]
            at = each.data_end
    return b"".join([*parts, data[at:]])


def _walk(data: bytes) -> Iterator[Segment]:
    kinds = data.translate(KINDS)
    at, filled = 2, 0
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise BrokenImage("is a JPEG with a broken segment")
        marker_at = _last_fill_byte(data, at)
        if marker_at + 2 > len(data):
            break
        found = _segment(data, kinds, marker_at)
        filled += marker_at - at + kinds.count(b"FF", found.end, found.data_end)
        if filled > MOST_FILL_BYTES:
            raise BrokenImage(f"is a JPEG of more than {MOST_FILL_BYTES} fill bytes")
        yield found
        if found.marker == END_OF_IMAGE:
            return
        at = found.data_end
    raise BrokenImage("is a JPEG that is cut short")


def _last_fill_byte(data: bytes, at: int) -> int:
    """Any number of fill bytes may stand before a marker; the last of them begins it."""
    fill = FILL.match(data, at)
    return fill.end() - 1 if fill else at


def _segment(data: bytes, kinds: bytes, at: int) -> Segment:
    marker = data[at + 1]
    if marker == END_OF_IMAGE:
        return Segment(marker, at, at + 2, at + 2)
    if at + 4 > len(data):
        raise BrokenImage("is a JPEG that is cut short")
    (length,) = struct.unpack_from(">H", data, at + 2)
    end = at + 2 + int(length)
    if marker != START_OF_SCAN:
        return Segment(marker, at, end, end)
    data_end = _end_of_scan(data, kinds, end)
    return Segment(marker, at, end, data_end, kinds.count(b"FR", end, data_end))


def _end_of_scan(data: bytes, kinds: bytes, at: int) -> int:
    """Entropy-coded bytes end at the next marker (no stuffing, no restart), or at the fill bytes before it."""
    marker_at = kinds.find(b"Fm", at)
    if marker_at < 0:
        raise BrokenImage("is a JPEG that is cut short")
    return at + len(data[at:marker_at].rstrip(b"\xff"))
