"""An image with a proper end that holds only a part of itself is broken; what encoders really make never is."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.images import jpeg, png
from worker.images.broken import BrokenImage
from worker.images.decoded import inspect

MAX_PIXELS = 100_000
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 50))
PNG_KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]
JPEG_KINDS: list[tuple[str, dict[str, Any]]] = [
    ("RGB", {}),
    ("RGB", {"quality": 95, "subsampling": 0}),
    ("L", {}),
    ("CMYK", {}),
    ("RGB", {"restart_marker_blocks": 2}),
    ("RGB", {"progressive": True}),
    ("L", {"progressive": True, "quality": 100}),
    ("RGB", {"progressive": True, "restart_marker_blocks": 3}),
]


def painted(form: str, mode: str, size: tuple[int, int] = (48, 40), **options: Any) -> bytes:
    """A file with an image that has something to tell in every block."""
    coarse = Image.linear_gradient("L").resize((9, 7)).rotate(90).resize(size, Image.Resampling.BICUBIC)
    bands = (Image.radial_gradient("L").resize(size), coarse, Image.linear_gradient("L").resize(size))
    file = BytesIO()
    Image.merge("RGB", bands).convert(mode).save(file, form, **options)
    return file.getvalue()


def is_kept(data: bytes) -> bool:
    """Whether it is a whole image, all of it."""
    try:
        return inspect(data, MAX_PIXELS).data == data
    except BrokenImage:
        return False


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(rows: bytes, size: tuple[int, int], colour: int = 2, depth: int = 8, interlaced: int = 0) -> bytes:
    """A PNG file of that head whose inflated rows are these; with a whole stream and right checksums."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(range(6))) if colour == 3 else b""
    return png.HEAD + head + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def size_of_rows(size: tuple[int, int], colour: int, depth: int, interlaced: int) -> int:
    """Counted pixel by pixel, as the standard draws it."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    grid = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    rows: dict[tuple[str, int], int] = {}
    for y in range(size[1]):
        for x in range(size[0]):
            place = (grid[y % 8][x % 8] if interlaced else "", y)
            rows[place] = rows.get(place, 0) + bits
    return sum(1 + -(-row // 8) for row in rows.values())


@given(SIZES, st.sampled_from(PNG_KINDS), st.integers(0, 1))
def test_a_png_must_have_every_byte_of_its_rows(size: tuple[int, int], kind: tuple[int, int], interlaced: int) -> None:
    """Of every colour type and depth, interlaced too: one byte less or more is another image."""
    wanted = size_of_rows(size, *kind, interlaced)
    for length, whole in ((wanted, True), (wanted - 1, False), (wanted + 1, False)):
        assert png.rows_are_whole(png_with(bytes(length), size, *kind, interlaced)) is whole


@given(SIZES, st.sampled_from(PNG_KINDS), st.integers(0, 1))
def test_a_whole_png_of_every_kind_is_kept(size: tuple[int, int], kind: tuple[int, int], interlaced: int) -> None:
    """The count is not stricter than Pillow."""
    assert is_kept(png_with(bytes(size_of_rows(size, *kind, interlaced)), size, *kind, interlaced))


def test_a_png_with_one_of_64_rows_is_broken() -> None:
    """Its chunks, its checksums and its stream are whole; Pillow shows 63 black rows."""
    row = b"\x00" + bytes([200]) * 64 * 3
    assert is_kept(png_with(row * 64, (64, 64)))
    with pytest.raises(BrokenImage, match="without all of its rows"):
        inspect(png_with(row, (64, 64)), MAX_PIXELS)


def test_rows_without_end_cost_no_more_than_the_image() -> None:
    """Inflating stops at the first byte too many: this stream has 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    whole = png_with(bytes(4 * (1 + 4 * 3)), (4, 4))
    bomb = whole[:33] + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    assert not png.rows_are_whole(bomb)


def cut_png(data: bytes) -> Iterator[bytes]:
    """The stream of the rows cut at every byte, checksums mended, end put behind."""
    start, (length,) = data.index(b"IDAT") + 4, struct.unpack_from(">I", data, data.index(b"IDAT") - 4)
    for size in range(int(length)):
        yield data[: start - 8] + chunk(b"IDAT", data[start : start + size]) + chunk(b"IEND", b"")


def test_a_png_whose_stream_is_cut_at_any_byte_is_broken() -> None:
    """However well it is closed again."""
    assert not [len(cut) for cut in cut_png(painted("PNG", "RGB", (20, 12))) if is_kept(cut)]


def cut_jpeg(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each scan cut at every byte: with the end of the image put behind, and with the other scans left in place.

    With each cut, how many bytes of the scan are missing.
    """
    for scan in jpeg.segments(data):
        if scan.marker == jpeg.START_OF_SCAN:
            for at in range(scan.end, scan.data_end):
                if data[at - 1] != 0xFF:  # else the cut is no cut: it makes a marker of another kind
                    yield scan.data_end - at, data[:at] + b"\xff\xd9"
                    yield scan.data_end - at, data[:at] + data[scan.data_end :]


@pytest.mark.parametrize(("mode", "options"), JPEG_KINDS)
def test_a_jpeg_whose_scan_is_cut_at_any_byte_is_broken(mode: str, options: dict[str, Any]) -> None:
    """Also where other scans follow: libjpeg itself only warns, and Pillow says nothing. Rounding may hide 2 bytes."""
    data = painted("JPEG", mode, (40, 24), **options)
    kept = [missing for missing, cut in cut_jpeg(data) if is_kept(cut)]
    assert len(kept) < 3
    assert all(missing < 3 for missing in kept)


def test_a_jpeg_with_some_of_its_scans_is_broken() -> None:
    """Each of them whole: the first one alone is a proper file of a blurred image."""
    data = painted("JPEG", "RGB", progressive=True)
    scans = [each for each in jpeg.segments(data) if each.marker == jpeg.START_OF_SCAN]
    assert len(scans) > 5
    assert is_kept(data)
    for scan in scans[:-1]:
        with pytest.raises(BrokenImage, match="without its last scans"):
            inspect(data[: scan.data_end] + b"\xff\xd9", MAX_PIXELS)


@pytest.mark.parametrize("options", [{}, {"quality": 100}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_whose_data_are_cut_is_broken(mode: str, options: dict[str, Any]) -> None:
    """By libwebp itself, with both sizes mended; but for the last bytes, which fill up the last bits."""
    data = painted("WEBP", mode, **options)
    start = 8 + max(data.find(b"VP8 "), data.find(b"VP8L"))
    for size in range(1, len(data) - start - 6):
        chunk_of_data = struct.pack("<I", size) + data[start : start + size] + bytes(size & 1)
        body = data[8 : start - 4] + chunk_of_data
        assert not is_kept(b"RIFF" + struct.pack("<I", len(body)) + body)


@given(
    SIZES,
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.sampled_from([1, 30, 75, 95, 100]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2]),
    st.sampled_from([{}, {"restart_marker_blocks": 1}, {"restart_marker_blocks": 7}, {"restart_marker_rows": 1}]),
)
def test_every_jpeg_that_is_really_encoded_is_kept(
    size: tuple[int, int],
    mode: str,
    quality: int,
    progressive: bool,
    optimize: bool,
    subsampling: int,
    restarts: dict[str, int],
) -> None:
    """A paid image is never lost over an option of its encoder."""
    options = {"quality": quality, "progressive": progressive, "optimize": optimize, "subsampling": subsampling}
    assert is_kept(painted("JPEG", mode, size, **options, **restarts))


@given(
    SIZES,
    st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA", "I;16"]),
    st.integers(0, 9),
    st.booleans(),
)
def test_every_png_that_is_really_encoded_is_kept(size: tuple[int, int], mode: str, level: int, optimize: bool) -> None:
    """Every mode, and every effort to make it small."""
    assert is_kept(painted("PNG", "L" if mode == "I;16" else mode, size, compress_level=level, optimize=optimize))


@given(
    SIZES,
    st.sampled_from(["RGB", "RGBA", "L"]),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_every_webp_that_is_really_encoded_is_kept(
    size: tuple[int, int], mode: str, quality: int, lossless: bool, exact: bool
) -> None:
    """Lossy and lossless."""
    assert is_kept(painted("WEBP", mode, size, quality=quality, lossless=lossless, exact=exact, method=1))
