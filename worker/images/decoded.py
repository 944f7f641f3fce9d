"""Validates an image: bytes in, a DecodedImage or BrokenImage out. No I/O; runs in a child process.

Each of Pillow's two checks misses something: `load` accepts a truncated PNG, `verify` a truncated JPEG. So both run.
The end of the file is found by the rules of its format, and bytes behind it are cut off. Neither check notices a file
with a proper end that holds only a part of its image: png.py, jpeg.py and jpeg_scans.py do, and for WebP libwebp
itself.
"""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageChops, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from worker.images import jpeg, png, webp
from worker.images.broken import BrokenImage
from worker.images.jpeg_scans import check_scans

PLUGINS = (PngImagePlugin, JpegImagePlugin, WebPImagePlugin)
"""Imported here, so that Pillow does not import its forty others to find one for WebP."""
FORMATS = ("PNG", "JPEG", "WEBP")
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image that decodes. Its bytes are as they came, without those behind its end. Sizes are in pixels."""

    format: str
    width: int
    height: int
    data: bytes
    sha256: str
    blank: bool = False
    """One colour only: the upstream's safety checker replaces an image by such a one."""


def inspect(data: bytes, max_pixels: int) -> DecodedImage:
    """The image in these bytes. Raises BrokenImage."""
    data = data[: _end_of_image(data)]
    with warnings.catch_warnings():
        # other warnings are no reason to lose a paid image: broken EXIF, a palette with transparency
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            _check_head(data, max_pixels)
            width, height, form, blank = _decode(data)
        except BrokenImage:
            raise
        except Exception as error:  # the errors of decoders on broken bytes have no common class
            raise BrokenImage(f"does not decode ({type(error).__name__})") from error
    return DecodedImage(form, width, height, data, hashlib.sha256(data).hexdigest(), blank)


def _check_head(data: bytes, max_pixels: int) -> None:
    """Everything that can be refused before a pixel is decoded."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if image.format not in FORMATS:  # MPO comes in as JPEG
            raise BrokenImage(f"is {image.format}, not PNG, JPEG or WebP")
        if getattr(image, "n_frames", 1) != 1:
            raise BrokenImage("has more than one frame")
        if image.width * image.height > max_pixels:
            raise BrokenImage(f"has {image.width} × {image.height} pixels, more than {max_pixels}")
        image.verify()


def _decode(data: bytes) -> tuple[int, int, str, bool]:
    with Image.open(BytesIO(data), formats=FORMATS) as image:  # verify() leaves the file unusable
        image.load()
        _check_whole(image, data)
        blank = image.convert("RGB").getcolors(1) is not None
        return image.width, image.height, str(image.format), blank


def _check_whole(image: Image.Image, data: bytes) -> None:
    """Decodes every pixel once more, so it is only called for images within the limits."""
    if image.format == "PNG" and not png.rows_are_whole(data):
        raise BrokenImage("is a PNG without all of its rows")
    if image.format == "JPEG":
        _check_scans(image, data)


def _check_scans(image: Image.Image, data: bytes) -> None:
    found = jpeg.segments(data)
    check_scans(data, found)
    noisy = jpeg.with_noise(data, found)
    if noisy is None:
        return
    with Image.open(BytesIO(noisy), formats=["JPEG"]) as again:
        if ImageChops.difference(again, image).getbbox():
            raise BrokenImage("is a JPEG with a scan that is cut short")


def _end_of_image(data: bytes) -> int:
    """Where the image ends. Refuses here, in time linear in its size, what would cost a decoder more than that."""
    if data.startswith(png.HEAD):
        return png.end_of_png(data)
    if data.startswith(jpeg.HEAD):
        return jpeg.segments(data)[-1].end
    if webp.is_webp(data):
        return webp.end_of_webp(data)
    raise BrokenImage("is not PNG, JPEG or WebP")
