"""Bytes that an image host sends, through everything that looks at them before and while they are decoded."""

import time
from collections.abc import Iterator
from io import BytesIO

from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.target import Target
from worker.images.broken import BrokenImage
from worker.images.decoded import CONTENT_TYPES, inspect

MOST_PIXELS = 64 * 64
MOST_CPU_SECONDS = 5.0
FORMATS: tuple[tuple[str, dict[str, object]], ...] = (
    ("PNG", {}),
    ("PNG", {"bits": 4}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"restart_marker_blocks": 1}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
)


def check_picture(data: bytes) -> None:
    """An image or BrokenImage, within seconds; what is kept is a part of what came, and is an image by itself."""
    began = time.process_time()
    try:
        found = inspect(data, MOST_PIXELS)
    except BrokenImage as error:
        assert len(str(error)) < 200
    else:
        assert found.format in CONTENT_TYPES
        assert found.width * found.height <= MOST_PIXELS
        assert data.startswith(found.data)
        assert inspect(found.data, MOST_PIXELS) == found
    assert time.process_time() - began < MOST_CPU_SECONDS


def painted() -> Iterator[bytes]:
    """A small image of each form."""
    for mode in ("RGB", "L", "P"):
        image = Image.radial_gradient("L").resize((24, 16)).convert(mode)
        for form, options in FORMATS:
            if (form, mode) != ("JPEG", "P") and ("bits" not in options or mode == "P"):
                file = BytesIO()
                image.save(file, form, **options)
                yield file.getvalue()


def _damaged(data: bytes, at: int, put: bytes, *, instead: bool) -> bytes:
    at %= len(data)
    return data[:at] + put + data[at + len(put) * instead :]


IMAGES = tuple(painted())
EXAMPLES = st.builds(
    _damaged, st.sampled_from(IMAGES), st.integers(0, 10_000), st.binary(max_size=6), instead=st.booleans()
)

PICTURE = Target(check_picture, lambda: IMAGES, EXAMPLES)
