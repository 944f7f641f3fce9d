"""Is this a picture that we keep? Pure: bytes in, a Picture or BrokenPicture out. Runs in a child process.

Pillow's two checks each miss what the other finds: `load` accepts a truncated PNG, `verify` a truncated JPEG. So both
run, on a file whose end was found by its own format's rules, and what follows that end is cut off.
"""

import hashlib
import struct
import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
PNG_HEAD, JPEG_HEAD = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


class BrokenPicture(Exception):
    """Not a whole PNG, JPEG or WebP of one frame within the limits. The text says why, never what it shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that decodes, byte for byte as it came but for what followed its end."""

    format: str
    width: int
    height: int
    data: bytes
    sha256: str
    blank: bool = False
    """One colour all over: what the upstream's safety checker puts in a picture's place."""


def inspect(data: bytes, max_pixels: int) -> Picture:
    """The picture in these bytes. Raises BrokenPicture."""
    data = data[: _end_of_picture(data)]
    with warnings.catch_warnings():
        # the others are no reason to lose a paid picture: broken EXIF, a palette with transparency
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            _check_head(data, max_pixels)
            width, height, form, blank = _decode(data)
        except BrokenPicture:
            raise
        except Exception as error:  # what a decoder raises on foreign bytes has no common class
            raise BrokenPicture(f"does not decode ({type(error).__name__})") from error
    return Picture(form, width, height, data, hashlib.sha256(data).hexdigest(), blank)


def _check_head(data: bytes, max_pixels: int) -> None:
    """Everything that can be refused before a pixel is decoded."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if image.format not in FORMATS:  # MPO comes in as JPEG
            raise BrokenPicture(f"is {image.format}, not PNG, JPEG or WebP")
        if getattr(image, "n_frames", 1) != 1:
            raise BrokenPicture("has more than one frame")
        if image.width * image.height > max_pixels:
            raise BrokenPicture(f"has {image.width} × {image.height} pixels, more than {max_pixels}")
        image.verify()


def _decode(data: bytes) -> tuple[int, int, str, bool]:
    with Image.open(BytesIO(data), formats=FORMATS) as image:  # verify() leaves the file used up
        image.load()
        blank = image.convert("RGB").getcolors(1) is not None
        return image.width, image.height, str(image.format), blank


def _end_of_picture(data: bytes) -> int:
    if data.startswith(PNG_HEAD):
        return _end_of_png(data)
    if data.startswith(JPEG_HEAD):
        return _end_of_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _end_of_webp(data)
    raise BrokenPicture("is not PNG, JPEG or WebP")


def _end_of_png(data: bytes) -> int:
    at = len(PNG_HEAD)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, at = data[at + 4 : at + 8], at + 12 + int(length)
        if kind == b"IEND" and at <= len(data):
            return at
    raise BrokenPicture("is a PNG that is cut short")


def _end_of_jpeg(data: bytes) -> int:
    """Walks the segments; after a scan, entropy-coded bytes run to the next marker that is no stuffing or restart."""
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise BrokenPicture("is a JPEG with a broken segment")
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        at = at + 1 if marker == 0xFF else _end_of_segment(data, at)
    raise BrokenPicture("is a JPEG that is cut short")


def _end_of_segment(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise BrokenPicture("is a JPEG that is cut short")
    (length,) = struct.unpack_from(">H", data, at + 2)
    end = at + 2 + int(length)
    return _end_of_scan(data, end) if data[at + 1] == 0xDA else end


def _end_of_scan(data: bytes, at: int) -> int:
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        following = data[at + 1]
        if following != 0x00 and not 0xD0 <= following <= 0xD7:
            return at
        at += 2
    raise BrokenPicture("is a JPEG that is cut short")


def _end_of_webp(data: bytes) -> int:
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size + (size & 1)
    if end > len(data):
        raise BrokenPicture("is a WebP that is cut short")
    return int(end)
