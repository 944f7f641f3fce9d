"""One request that the sandbox has taken: what was asked, when it is done, what its pictures are."""

import random
import uuid
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from worker.upstream.sandbox.faults import Faults
from worker.upstream.sandbox.painter import blank, paint

HTML = b"<!doctype html><title>Not a picture</title><script>alert(1)</script>"
# a PNG head that claims 30,000 x 30,000 pixels, and nothing behind it
BOMB = bytes.fromhex("89504e470d0a1a0a0000000d494844520000753000007530080200000066f7f2ba0000000049454e44ae426082")
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


@dataclass
class Work:
    """See the module. `seconds` is how long generating takes."""

    id: int
    key: str
    request: dict[str, Any]
    faults: Faults
    seconds: float
    track_id: str | int | None
    webhook: str | None
    done: bool = False
    """The pictures are there."""
    told: bool = False
    """Fetch and callback know it."""
    reads: dict[int, int] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: str(uuid.uuid4()))
    seed: int = 0

    def __post_init__(self) -> None:
        given = self.request.get("seed")
        self.seed = int(given) if given not in (None, "") else random.getrandbits(32)

    @property
    def shown_id(self) -> int | str:
        return str(self.id) if self.faults.string_id else self.id

    @property
    def eta(self) -> float:
        return round(self.seconds, 2)

    @property
    def samples(self) -> int:
        return int(self.request.get("samples") or 1)

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

    def addresses(self, base: str) -> list[str]:
        """Where the pictures are, or will be."""
        as_text = self.faults.base64 or (str(self.request.get("base64") or "no") == "yes")
        ending = ".base64" if as_text else f".{self.media_type.removeprefix('image/')}"
        kept = max(0, self.samples - self.faults.fewer)
        return [f"{base}/generations/{self.prefix}-{index}{ending}" for index in range(kept)]

    def output(self, base: str) -> list[str]:
        """What the answers' `output` holds."""
        if self.faults.base64_inline or self.faults.base64_data_uri:
            texts = [b64encode(self.picture(index)).decode() for index in range(self.samples)]
            head = f"data:{self.media_type};base64," if self.faults.base64_data_uri else ""
            return [head + text for text in texts]
        return self.addresses(base)

    def picture(self, index: int) -> bytes:
        """The bytes of one picture, with the faults that change them."""
        if self.faults.image_html:
            return HTML
        if self.faults.image_bomb:
            return BOMB
        if self.faults.image_garbage:
            return random.Random(self.seed).randbytes(20_000)
        scale = 2 if str(self.request.get("upscale") or "no") == "yes" else 1
        width, height = self.width * scale, self.height * scale
        if self.faults.nsfw:
            return blank(width, height)
        seed = (self.seed + index) % 2**32
        data = paint(str(self.request.get("prompt")), seed, width, height, FORMATS[self.media_type])
        return data + b"<script>alert(1)</script>" if self.faults.image_trailer else data
