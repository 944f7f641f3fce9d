"""The child process that decodes: it reads images from stdin, one by one, and answers on stdout until stdin ends.

Started by decoder.py with an empty environment, and in a jail (jail.py) before the first image comes, so that an image
that exploits its decoder finds no secret and reaches nothing. It ends with its parent, however that ends, because its
stdin is closed then. Imports Pillow, and of ours only the image checks.
"""

import json
import signal
import sys
from collections.abc import Callable
from io import BytesIO

from PIL import Image, MpoImagePlugin, TiffImagePlugin

from worker.images.broken import BrokenImage
from worker.images.decoded import FORMATS, DecodedImage, inspect
from worker.images.jail import enter

LENGTH_BYTES = 8
"""The length of each image stands before it, big-endian. The answer is one line of JSON."""
IMAGE_CPU_SECONDS = 5.0
"""The largest image that is taken needs one, by the slowest of its encodings."""
LOADED_LATE = (MpoImagePlugin, TiffImagePlugin)
"""What Pillow imports when an image asks for it, too late in a jail."""

Look = Callable[[bytes, int], DecodedImage]


def serve(look: Look, max_pixels: int) -> None:
    """Says which jail is in force, then answers until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _load_decoders()
    _say({"jail": enter()})
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        data = sys.stdin.buffer.read(int.from_bytes(head, "big"))
        # its default action ends the process
        signal.setitimer(signal.ITIMER_PROF, IMAGE_CPU_SECONDS)
        answer = _answer(look, data, max_pixels)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answer)


def _load_decoders() -> None:
    """Decodes an image of each format, because some of what they need is loaded with the first one."""
    for form in FORMATS:
        file = BytesIO()
        Image.new("RGB", (8, 8)).save(file, form)
        inspect(file.getvalue(), 64)


def _say(line: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.flush()


def _answer(look: Look, data: bytes, max_pixels: int) -> dict[str, object]:
    """The image without its bytes and their hash, which the parent has; `size`: how many bytes belong to the image."""
    try:
        found = look(data, max_pixels)
    except BrokenImage as error:
        return {"broken": str(error)}
    return {
        "format": found.format,
        "width": found.width,
        "height": found.height,
        "size": len(found.data),
        "blank": found.blank,
    }


if __name__ == "__main__":
    serve(inspect, int(sys.argv[1]))
