"""One request that the sandbox has taken: its body, when it is done, and its images."""

import random
import uuid
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from struct import pack
from time import monotonic
from typing import Any

from worker.upstream.modelslab.sandbox.faults import Faults
from worker.upstream.modelslab.sandbox.painter import blank, paint

HTML = b"<!doctype html><title>Not an image</title><script>alert(1)</script>"
TRAILER = b"<script>alert(1)</script>"
BOMB_SIDE_PIXELS, HEAVY_SIDE_PIXELS = 30_000, 4096
GREY, RGBA = 0, 6
GARBAGE_BYTES = 20_000
PNG_END_BYTES = 12
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


@dataclass(slots=True)
class Work:
    """A request that was taken. `seconds` is how long generating takes."""

    id: int
    key: str
    request: dict[str, Any]
    faults: Faults
    seconds: float
    track_id: str | int | None
    webhook: str | None
    done: bool = False
    """The images are there."""
    told: bool = False
    """Fetch and callback show the result."""
    fresh_at: float = 0.0
    """When the addresses were made or last shown by fetch, in seconds of the monotonic clock."""
    reads: dict[int, int] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: str(uuid.uuid4()))
    seed: int = 0
    before: tuple[int, str] = (999_999, "somebody-else")
    """Id and track_id of the request that was taken before this one; faults use them as foreign ids."""
    made: set[str] = field(default_factory=set)
    """SHA-256 of every image that was made for it, so that a test can tell whose bytes an image is."""

    def __post_init__(self) -> None:
        given = self.request.get("seed")
        self.seed = int(given) if given not in (None, "") else random.getrandbits(32)

    def finish(self) -> None:
        """From now on the images exist."""
        self.done = True
        self.renew()

    def renew(self) -> None:
        """Starts the life of the addresses again."""
        self.fresh_at = monotonic()

    def count_read(self, index: int) -> int:
        """Counts a download of that image; returns how many there were, including this one."""
        self.reads[index] = self.reads.get(index, 0) + 1
        return self.reads[index]

    def shows(self, index: int, ending: str) -> bool:
        """Whether there is an image at that address now."""
        expires = self.faults.expire
        alive = expires is None or monotonic() - self.fresh_at <= expires
        return self.done and alive and not self.faults.fail and index < self.shown and ending == self.ending

    def id_in(self, channel: str) -> int | str:
        """The id that is shown in an `answer`, a `callback` or a `fetch`."""
        told = self.before[0] if self.faults.foreign_id in (channel, "everywhere") else self.id
        return str(told) if self.faults.string_id else told

    def foreign_track_in(self, channel: str) -> dict[str, str]:
        """The other request's track_id, in the channel that the fault names."""
        return {"track_id": self.before[1]} if self.faults.foreign_track in (channel, "everywhere") else {}

    @property
    def eta(self) -> float:
        return round(self.seconds, 2)

    @property
    def samples(self) -> int:
        return int(self.request.get("samples") or 1)

    @property
    def shown(self) -> int:
        """How many images it has."""
        return max(0, self.samples - self.faults.fewer)

    @property
    def width(self) -> int:
        return int(self.request.get("width") or 512)

    @property
    def height(self) -> int:
        return int(self.request.get("height") or 512)

    @property
    def media_type(self) -> str:
        if self.faults.image_jpeg:
            return "image/jpeg"
        return "image/webp" if self.faults.image_webp else "image/png"

    @property
    def as_text(self) -> bool:
        """Whether the addresses lead to base64 text."""
        return self.faults.base64 or _is_yes(self.request.get("base64"))

    @property
    def ending(self) -> str:
        return "base64" if self.as_text else self.media_type.removeprefix("image/")

    def addresses(self, base: str) -> list[str]:
        """The addresses of the images, whether they exist yet or not."""
        folder = "temp" if _is_yes(self.request.get("temp")) else "generations"
        return [f"{base}/{folder}/{self.prefix}-{index}.{self.ending}" for index in range(self.shown)]

    def output(self, base: str) -> list[str]:
        """The `output` of answers."""
        if not (self.faults.base64_inline or self.faults.base64_data_uri):
            return self.addresses(base)
        return self.inline()

    def inline(self) -> list[str]:
        """The images themselves, as text."""
        head = f"data:{self.media_type};base64," if self.faults.base64_data_uri else ""
        return [head + b64encode(self.image(index)).decode() for index in range(self.shown)]

    def linked_image(self, index: int) -> bytes:
        """The bytes at an image's address."""
        data = self.image(index)
        return self._noted(with_note(data, "linked")) if self.faults.inline_and_links else data

    def image(self, index: int) -> bytes:
        """The bytes of one image, with the faults that change them; a fault may add bytes behind its end."""
        data = self._noted(self._drawn(index))
        return data + TRAILER if self.faults.image_trailer else data

    def _noted(self, data: bytes) -> bytes:
        self.made.add(sha256(data).hexdigest())
        return data

    def _drawn(self, index: int) -> bytes:
        if self.faults.image_html:
            return HTML
        if self.faults.image_bomb:
            return _black_png(BOMB_SIDE_PIXELS, GREY, 1)
        if self.faults.image_heavy:
            return _black_png(HEAVY_SIDE_PIXELS, RGBA, 16)
        if self.faults.image_garbage:
            return random.Random(self.seed).randbytes(GARBAGE_BYTES)
        scale = 2 if _is_yes(self.request.get("upscale")) else 1
        width, height = self.width * scale, self.height * scale
        if self.faults.nsfw:
            return blank(width, height)
        seed = (self.seed + index) % 2**32
        return paint(str(self.request.get("prompt")), seed, width, height, FORMATS[self.media_type])


def _is_yes(flag: object) -> bool:
    return flag is True or flag == "yes"


@lru_cache(maxsize=2)
def _black_png(side: int, colour: int, depth: int) -> bytes:
    """A valid PNG of about 120 KB: a bomb of 30,000 × 30,000 pixels takes 112 MB with one bit each, 2.7 GB as RGB."""
    squeeze = zlib.compressobj(9)
    row = bytes(1 + side * depth * (4 if colour == RGBA else 1) // 8)
    rows = b"".join([*(squeeze.compress(row) for _ in range(side)), squeeze.flush()])
    head = pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def with_note(png: bytes, note: str) -> bytes:
    """The same PNG with one more text chunk before its end: the same image, other bytes."""
    return png[:-PNG_END_BYTES] + _chunk(b"tEXt", b"Comment\0" + note.encode()) + png[-PNG_END_BYTES:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
