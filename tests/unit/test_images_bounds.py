"""What a file may have of anything: what costs a decoder more than its size says is refused in one quick walk."""

import struct
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_images_decoded import MAX_PIXELS, chunk, painted
from worker.images import jpeg, png, webp
from worker.images.broken import BrokenImage
from worker.images.decoded import inspect

LARGEST = 32 * 2**20
WELL_UNDER_A_SECOND = 0.6
JPEG, PNG, WEBP = painted("JPEG"), painted("PNG"), painted("WEBP")
SCAN = next(each for each in jpeg.segments(JPEG) if each.marker == jpeg.START_OF_SCAN)
WIDE_WEBP = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + bytes([63, 0, 0, 47, 0, 0]) + WEBP[12:]


def jpeg_with(inside: bytes, times: int | None = None) -> bytes:
    """Those bytes, again and again, between the head of an image and the rest of it."""
    return JPEG[:2] + inside * (times or LARGEST // len(inside)) + JPEG[2:]


def scan_with(inside: bytes, times: int | None = None) -> bytes:
    """Those bytes, again and again, at the end of the image's scan."""
    return JPEG[: SCAN.data_end] + inside * (times or LARGEST // len(inside)) + JPEG[SCAN.data_end :]


def png_with(inside: bytes, times: int | None = None) -> bytes:
    """Those chunks, again and again, before the end of the image."""
    return PNG[:-12] + inside * (times or LARGEST // len(inside)) + PNG[-12:]


def webp_with(inside: bytes, times: int | None = None) -> bytes:
    """Those chunks, again and again, behind the image."""
    body = WIDE_WEBP + inside * (times or LARGEST // len(inside))
    return b"RIFF" + struct.pack("<I", len(body)) + body


ENDLESS = {
    "fill bytes and no end": lambda: JPEG[:2] + b"\xff" * LARGEST,
    "fill bytes": lambda: jpeg_with(b"\xff"),
    "fill bytes in a scan": lambda: scan_with(b"\xff"),
    "zeros in a scan and no end": lambda: JPEG[: SCAN.data_end] + b"\xff\x00" * (LARGEST // 2),
    "segments": lambda: jpeg_with(b"\xff\xe1\x00\x02"),
    "EXIF blocks": lambda: jpeg_with(b"\xff\xe1\x20\x00Exif\x00\x00" + bytes(0x2000 - 8)),
    "scans": lambda: jpeg_with(JPEG[SCAN.start : SCAN.end]),
    "restarts": lambda: scan_with(b"\xff\xd0"),
    "restarts and no end": lambda: JPEG[: SCAN.data_end] + b"\xff\xd0" * (LARGEST // 2),
    "empty PNG chunks": lambda: png_with(chunk(b"tESt", b"")),
    "empty parts of a stream": lambda: png_with(chunk(b"IDAT", b"")),
    "WebP chunks": lambda: webp_with(b"ABCD" + bytes(4)),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_the_largest_file_of_nothing_but_one_thing_is_refused_in_a_moment(name: str) -> None:
    """By CPU time, so that a busy machine does not matter; before this it took from seconds to minutes."""
    data = ENDLESS[name]()
    before = time.process_time()
    with pytest.raises(BrokenImage, match=r"more than|cut short"):
        inspect(data, MAX_PIXELS)
    assert time.process_time() - before < WELL_UNDER_A_SECOND


def test_an_image_may_have_as_much_as_an_encoder_could_write() -> None:
    """At each limit it is kept, one above it refused."""
    own = len(jpeg.segments(JPEG))
    own_chunks = sum(1 for _ in png._chunks(PNG))
    for make, inside, most in [
        (jpeg_with, b"\xff\xe9\x00\x02", jpeg.MOST_SEGMENTS - own),
        (jpeg_with, b"\xff", jpeg.MOST_FILL_BYTES),
        (png_with, chunk(b"tESt", b""), png.MOST_CHUNKS - own_chunks + 1),
        (webp_with, b"ABCD" + bytes(4), webp.MOST_CHUNKS - 3),
    ]:
        assert inspect(make(inside, most), MAX_PIXELS).width == 64
        with pytest.raises(BrokenImage, match="more than"):
            inspect(make(inside, most + 1), MAX_PIXELS)


def test_a_jpeg_of_more_scans_than_any_encoder_writes_is_refused() -> None:
    """libjpeg goes through every coefficient once per scan: 680 kB of scans took 20 s."""
    data = painted("JPEG", progressive=True)
    last = [each for each in jpeg.segments(data) if each.marker == jpeg.START_OF_SCAN][-1]
    scans = sum(each.marker == jpeg.START_OF_SCAN for each in jpeg.segments(data))
    again = data[last.start : last.data_end]
    most = jpeg.MOST_SCANS - scans
    assert jpeg.segments(data[: last.data_end] + again * most + data[last.data_end :])
    with pytest.raises(BrokenImage, match="more than 64 scans"):
        inspect(data[: last.data_end] + again * (most + 1) + data[last.data_end :], MAX_PIXELS)


def test_fill_bytes_in_and_around_scans_belong_to_the_jpeg() -> None:
    """Before a restart and before the marker behind a scan."""
    data = painted("JPEG", restart_marker_blocks=1)
    scan = next(each for each in jpeg.segments(data) if each.marker == jpeg.START_OF_SCAN)
    inside = data[scan.end : scan.data_end].replace(b"\xff\xd0", b"\xff\xff\xff\xd0")
    filled = data[: scan.end] + inside + b"\xff\xff\xff" + data[scan.data_end :]
    assert inspect(filled, MAX_PIXELS).data == filled


def test_a_stream_in_one_chunk_costs_no_more_than_one_in_many() -> None:
    """zlib copies what is left of its input with each call: a large chunk took time by the square of its size."""
    size = 2_000
    rows = (b"\x00" + bytes(range(256)) * (size * 4 // 256 + 1))[: 1 + size * 4] * size
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0))
    data = png.HEAD + head + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    before = time.process_time()
    assert png.rows_are_whole(data)
    assert time.process_time() - before < 0.15


@given(
    st.sampled_from([(JPEG, 2), (JPEG, SCAN.end), (JPEG, SCAN.data_end), (PNG, 33), (PNG, len(PNG) - 12), (WEBP, 12)]),
    st.binary(min_size=1, max_size=12),
    st.sampled_from([b"", b"\xff", b"\xff\xda", b"\xff\xd0", b"\x00\x00\x00\x00", b"\x00\x00\x00\x00IDAT"]),
)
def test_no_pattern_that_is_repeated_costs_more_than_its_size(
    image: tuple[bytes, int], pattern: bytes, head: bytes
) -> None:
    """Anywhere in a file of 1 MB, whatever it is."""
    data, at = image
    file = data[:at] + (head + pattern) * (2**20 // len(head + pattern)) + data[at:]
    if data is WEBP:
        file = file[:4] + struct.pack("<I", len(file) - 8) + file[8:]
    before = time.process_time()
    with suppress(BrokenImage):
        inspect(file, MAX_PIXELS)
    assert time.process_time() - before < 0.5
