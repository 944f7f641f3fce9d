"""The child process that decodes: it reads images from stdin, one by one, and answers on stdout until stdin ends.

Started by decoder.py with an empty environment, so that an image that exploits its decoder finds no secret. It ends
with its parent, however that ends, because its stdin is closed then. Imports Pillow, and of ours only the image checks.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable

from worker.images.decoded import BrokenImage, DecodedImage, inspect

LENGTH_BYTES = 8
"""The length of each image stands before it, big-endian. The answer is one line of JSON."""
MOST_MEMORY_BYTES = 1024**3
IMAGE_CPU_SECONDS = 15

Look = Callable[[bytes, int], DecodedImage]


def serve(look: Look, max_pixels: int) -> None:
    """Answers until stdin ends."""
    _limit()
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        data = sys.stdin.buffer.read(int.from_bytes(head, "big"))
        _allow_cpu()
        sys.stdout.buffer.write(json.dumps(_answer(look, data, max_pixels)).encode() + b"\n")
        sys.stdout.buffer.flush()


def _answer(look: Look, data: bytes, max_pixels: int) -> dict[str, object]:
    """The image without its bytes, which the parent has; `size` is how many of them belong to the image."""
    try:
        found = look(data, max_pixels)
    except BrokenImage as error:
        return {"broken": str(error)}
    return {
        "format": found.format,
        "width": found.width,
        "height": found.height,
        "size": len(found.data),
        "sha256": found.sha256,
        "blank": found.blank,
    }


def _limit() -> None:
    """No files, no core dumps, limited memory; the parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))


def _allow_cpu() -> None:
    """The limit counts the whole life of a process, so it is raised for each image."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + IMAGE_CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


if __name__ == "__main__":
    serve(inspect, int(sys.argv[1]))
