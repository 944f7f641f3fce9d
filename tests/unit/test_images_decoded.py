"""Which bytes are an image that we keep: whole, of one frame, small enough, cut where it ends."""

import struct
import zlib
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.images.broken import BrokenImage
from worker.images.decoded import DecodedImage, inspect

MAX_PIXELS = 100_000
FORMATS = ("PNG", "JPEG", "WEBP")
TRAILER = b"<script>alert(1)</script>PK\x03\x04"


def painted(form: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    """A file of that format with an image that is not of one colour."""
    image = Image.radial_gradient("L").resize(size).convert(mode)
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A tiny PNG file of any size, all black: 13,000 × 13,000 are 30 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_image_is_kept_byte_for_byte(form: str) -> None:
    """With its size, its format and the hash of what is kept."""
    data = painted(form)
    assert inspect(data, MAX_PIXELS) == DecodedImage(form, 64, 48, data, sha256(data).hexdigest())


@pytest.mark.parametrize("form", FORMATS)
def test_what_follows_the_end_of_an_image_is_cut_off(form: str) -> None:
    """A file that is an image and something else as well is served as an image only."""
    data = painted(form)
    assert inspect(data + TRAILER, MAX_PIXELS).data == data


@pytest.mark.parametrize("form", FORMATS)
def test_an_image_that_is_cut_short_anywhere_is_broken(form: str) -> None:
    """Not one byte may be missing: Pillow's `load` alone takes a short PNG, its `verify` a short JPEG."""
    data = painted(form, (24, 16))
    kept = []
    for length in range(len(data)):
        try:
            kept.append(inspect(data[:length], MAX_PIXELS))
        except BrokenImage:
            continue
    assert kept == []


def test_a_png_with_a_wrong_checksum_is_broken() -> None:
    """Found by verifying only: the pixels decode."""
    data = painted("PNG")
    at = data.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", data, at)
    crc = at + 8 + length
    broken = data[:crc] + bytes([data[crc] ^ 1]) + data[crc + 1 :]
    with pytest.raises(BrokenImage):
        inspect(broken, MAX_PIXELS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR",
        b"<html><body>404</body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
        b"GIF89a" + bytes(64),
        b"%PDF-1.7",
        b"<html>" + painted("PNG"),
        painted("GIF"),
        painted("BMP"),
        painted("TIFF"),
        painted("ICO"),
    ],
)
def test_what_is_no_png_jpeg_or_webp_is_refused(data: bytes) -> None:
    """However it is named or served."""
    with pytest.raises(BrokenImage):
        inspect(data, MAX_PIXELS)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_moving_image_is_refused(form: str) -> None:
    """What the upstream makes has one frame; many small frames are a way to cost much."""
    second = [Image.linear_gradient("L").resize((64, 48)).convert("RGB")]
    with pytest.raises(BrokenImage):
        inspect(painted(form, save_all=True, append_images=second), MAX_PIXELS)


def test_several_images_in_one_jpeg_are_refused() -> None:
    """The multi-image format comes in as JPEG and is something else."""
    second = [Image.linear_gradient("L").resize((64, 48)).convert("RGB")]
    with pytest.raises(BrokenImage):
        inspect(painted("MPO", save_all=True, append_images=second), MAX_PIXELS)


@pytest.mark.parametrize("form", FORMATS)
def test_the_limit_is_on_pixels(form: str) -> None:
    """At the limit it is kept, above it refused."""
    data = painted(form, (400, 250))
    assert inspect(data, 100_000).width == 400
    with pytest.raises(BrokenImage, match="more than 99999"):
        inspect(data, 99_999)


@pytest.mark.parametrize("side", [9_600, 13_000, 100_000_000])
def test_a_bomb_is_refused_by_its_head(side: int) -> None:
    """Also above the sizes where Pillow itself warns and refuses."""
    bomb = bytearray(png_of(8, 8))
    bomb[16:24] = struct.pack(">II", side, side)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(BrokenImage, match=r"more than|Bomb"):
        inspect(bytes(bomb), 16_800_000)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("PNG", "P", {"transparency": bytes([0, 128, 255])}),
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("PNG", "I;16", {}),
        ("PNG", "1", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "RGB", {"restart_marker_blocks": 1}),
        ("JPEG", "RGB", {"exif": b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00\x01\x02"}),
        ("JPEG", "RGB", {"comment": b"\xff\xd9" * 4}),
        ("WEBP", "RGBA", {"lossless": True}),
    ],
)
def test_unusual_but_good_images_are_kept(form: str, mode: str, options: dict[str, Any]) -> None:
    """What was paid for is not lost over a warning: odd modes, restart markers, a broken EXIF block."""
    data = painted(form, mode=mode, **options)
    assert inspect(data, MAX_PIXELS).data == data


def test_fill_bytes_before_a_marker_belong_to_the_jpeg() -> None:
    """The standard allows any number of 0xFF before a marker, also before the last one."""
    data = painted("JPEG")
    padded = data[:-2] + b"\xff\xff" + data[-2:]
    assert inspect(padded + TRAILER, MAX_PIXELS).data == padded


@pytest.mark.parametrize(("colour", "blank"), [((0, 0, 0), True), ((255, 255, 255), True), (None, False)])
def test_an_image_of_one_colour_is_blank(colour: tuple[int, int, int] | None, blank: bool) -> None:
    """It is what a safety checker puts in an image's place."""
    file = BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    data = file.getvalue() if colour else painted("PNG")
    assert inspect(data, MAX_PIXELS).blank is blank


def test_the_reason_tells_nothing_of_the_content() -> None:
    """It goes into a log line."""
    with pytest.raises(BrokenImage) as caught:
        inspect(b"\x89PNG\r\n\x1a\ncanary prompt", MAX_PIXELS)
    assert "canary" not in str(caught.value)


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\x00\x00\x00WEBPVP8 "]),
)
def test_no_bytes_make_it_raise_anything_else(tail: bytes, head: bytes) -> None:
    """Whatever comes, it is an image or BrokenImage."""
    with pytest.raises(BrokenImage):
        inspect(head + tail, MAX_PIXELS)


GOOD = {form: painted(form, (16, 16)) for form in FORMATS}


@given(st.sampled_from(FORMATS), st.data())
def test_a_damaged_image_is_kept_or_broken_and_nothing_else(form: str, data: st.DataObject) -> None:
    """Damage anywhere, with every checksum of the format against it."""
    damaged = bytearray(GOOD[form])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        kept = inspect(bytes(damaged), MAX_PIXELS)
    except BrokenImage:
        return
    assert kept.width * kept.height <= MAX_PIXELS
    assert bytes(damaged).startswith(kept.data)
