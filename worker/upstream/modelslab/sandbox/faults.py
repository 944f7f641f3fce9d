"""Fault injection: faults are asked for inside a prompt, as `[[name]]` or `[[name=value]]`.

The table below is the list of them; the sandbox's page shows it.
"""

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import get_args

MARK = re.compile(r"\[\[([a-z0-9-]{1,40})(?:=([^\]\[]{0,200}))?\]\]")
LARGEST_VALUE = 3600.0
RANGES = {
    "http": (300, 599),
    "http_once": (300, 599),
    "gateway": (200, 599),
    "edge": (520, 530),
    "fetch_gateway": (200, 599),
    "callback": (0, 20),
    "image_404": (0, 10**6),
    "eta": (0, 10**6),
    "image": (0, 9),
}
BARE_TEXTS = {
    "fail": "Processing failed: out of memory",
    "reject": "The prompt is not allowed",
    "contradict": "after",
    "foreign_id": "everywhere",
    "foreign_track": "everywhere",
    "same_id": "shared",
    "image_redirect": "http://169.254.169.254/latest/meta-data/",
}

MEANINGS = {
    "delay": "generating takes so many seconds",
    "answer-delay": "the answer to the POST takes so many seconds",
    "fail": "generation fails, with that text; `{name}` in it becomes what was sent as `name`, such as `{key}`",
    "reject": "the POST is refused with that text, as in `fail`, and 200 and `error`, or the status of `http`",
    "http": "the POST is answered with that HTTP status and not taken",
    "http-once": "the first POST of this prompt is answered with that HTTP status and not taken",
    "gateway": "taken and billed, then something in between answers with that HTTP status and an HTML page, no JSON",
    "edge": "a CDN's edge cannot reach the server and answers with that status (521, 523, 525, 526) and its own page",
    "once": "with `http`, `gateway` or `edge`: only the first POST of this prompt",
    "taken": "with `http` or `http-once`: it is taken and billed all the same",
    "busy": "the first so many POSTs of this prompt are answered with 429",
    "busy-silent": "the first so many POSTs of this prompt are answered with 429 that does not say how long to wait",
    "accept-then-drop": "taken and billed, then the connection is dropped without an answer",
    "garbled": "taken and billed, then half an answer",
    "no-callback": "no callback comes",
    "callback": "the callback comes so many times",
    "callback-first": "the callback comes before the answer to the POST",
    "late": "callback and fetch know the result only so many seconds after the image is done",
    "forged": "callbacks with a wrong token, another track_id, another id come before the true one",
    "contradict": "a `failed` callback follows the success; `first`: one with another id comes before it",
    "in-between": "a callback that says `processing` comes before the true one",
    "foreign-id": "`answer`, `callback`, `fetch` or, bare, all of them carry the id of the request taken before",
    "foreign-track": "`answer`, `callback`, `fetch` or, bare, all of them carry the track_id of the request before",
    "same-id": "all requests with that name get one id: the first one's, whose images fetch then tells",
    "no-output": "the callback says success without output",
    "no-track-id": "callbacks come without track_id",
    "no-callback-id": "callbacks come without id",
    "image-404": "the first so many reads of an image are 404",
    "image-truncated": "the first so many reads of an image break off",
    "slow-drip": "an image trickles for so many seconds",
    "image": "with `image-404`, `image-truncated`, `slow-drip`: only the image of that number, from 0",
    "image-redirect": "an image's address redirects to that address; bare, to one inside of a cloud",
    "expire": "an image's address dies so many seconds after it was done or last told by fetch",
    "image-html": "the image is an HTML page",
    "image-garbage": "the image is noise",
    "image-bomb": "the image is tiny and claims 30,000 × 30,000 pixels",
    "image-heavy": "the image is as large as may be decoded, and costs its decoder most of a second",
    "image-trailer": "the image has bytes after its end",
    "image-jpeg": "the image is a JPEG",
    "image-webp": "the image is a WebP",
    "sync": "the answer is `success` at once",
    "base64": "output holds base64 text, as an address that ends in .base64",
    "base64-inline": "output holds the base64 text itself",
    "base64-data-uri": "output holds data: URIs",
    "inline-and-links": "the answer is `success` with base64 text; callback and fetch have addresses, of the same "
    "images with other metadata",
    "eta": "the answer promises so many seconds, whatever it takes",
    "messege": "messages are spelled `messege`",
    "string-id": "the id is a string",
    "no-id": "the answer to the POST has no id",
    "fewer": "so many images fewer than asked for",
    "nsfw": "the safety checker replaces the images",
    "fetch-404": "fetch does not know the request",
    "fetch-gateway": "something in between answers fetch with that HTTP status and an HTML page",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one request. Names are those of MEANINGS with `_` for `-`. A mark without its number means 1."""

    delay: float | None = None
    answer_delay: float = 0
    fail: str | None = None
    reject: str | None = None
    http: int | None = None
    http_once: int | None = None
    gateway: int | None = None
    edge: int | None = None
    once: bool = False
    taken: bool = False
    busy: int = 0
    busy_silent: int = 0
    accept_then_drop: bool = False
    garbled: bool = False
    no_callback: bool = False
    callback: int = 1
    callback_first: bool = False
    late: float = 0
    forged: bool = False
    contradict: str | None = None
    in_between: bool = False
    foreign_id: str | None = None
    foreign_track: str | None = None
    same_id: str | None = None
    no_output: bool = False
    no_track_id: bool = False
    no_callback_id: bool = False
    image_404: int = 0
    image_truncated: int = 0
    slow_drip: float = 0
    image: int | None = None
    image_redirect: str | None = None
    expire: float | None = None
    image_html: bool = False
    image_garbage: bool = False
    image_bomb: bool = False
    image_heavy: bool = False
    image_trailer: bool = False
    image_jpeg: bool = False
    image_webp: bool = False
    sync: bool = False
    base64: bool = False
    base64_inline: bool = False
    base64_data_uri: bool = False
    inline_and_links: bool = False
    eta: float | None = None
    messege: bool = False
    string_id: bool = False
    no_id: bool = False
    fewer: int = 0
    nsfw: bool = False
    fetch_404: bool = False
    fetch_gateway: int | None = None

    @property
    def counts_posts(self) -> bool:
        """Whether it matters which POST of the prompt it is."""
        return bool(self.busy or self.busy_silent or self.http_once or self.once)

    def hits(self, index: int) -> bool:
        """Whether the faults of image downloads concern the image with that index."""
        return self.image in (None, index)


KINDS = {
    field.name: next(kind for kind in (bool, int, float, str) if kind in (field.type, *get_args(field.type)))
    for field in fields(Faults)
}


@lru_cache(maxsize=4096)
def parse_faults(prompt: str) -> Faults:
    """The faults in a prompt. An unknown name or an unusable value is no fault but part of the prompt."""
    found = {name.replace("-", "_"): value for name, value in MARK.findall(prompt)}
    usable = {name: _value(name, value) for name, value in found.items() if name in KINDS}
    return Faults(**{name: value for name, value in usable.items() if value is not None})  # type: ignore[arg-type]


def _value(name: str, text: str) -> object:
    kind = KINDS[name]
    if kind is bool:
        return True
    if kind is str:
        return text or BARE_TEXTS[name]
    try:
        number = float(text or 1)
    except ValueError:
        return None
    lowest, highest = RANGES.get(name, (0, LARGEST_VALUE))
    if not lowest <= number <= highest:
        return None
    return kind(number)
