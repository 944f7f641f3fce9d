"""Downloads images over HTTPS, from allowed hosts only: streamed, limited in size, complete or not at all.

An `http://` address is requested over https, so that a paid image is neither refused because of its link nor changed on
the way. If private addresses are allowed (development), plain HTTP stays plain HTTP.
"""

import asyncio
import re
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from urllib.parse import urljoin

import httpx

from config.settings import Settings
from worker.network.addresses import AddressRefused, check_url, host_allowed
from worker.network.transport import open_transport
from worker.upstream.accounts import upstream_hosts
from worker.upstream.chosen import PROVIDER

TOTAL_SECONDS = 120.0
HEAD_SECONDS = 20.0
"""Until an answer has begun; the transport's own time limit begins anew with every byte of its head."""
GRACE_SECONDS = 10.0
FLOOR_BYTES_PER_SECOND = 16_384
"""After the grace an image that is slower than this is given up: it would hold its place for minutes."""
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PLAIN = {"accept-encoding": "identity"}
Came = Callable[[int], None]
DATA_URI = re.compile(r"\Adata:[\w/+.;=-]{0,100},", re.ASCII)


class DownloadError(Exception):
    """An image could not be downloaded. The text names no address."""


class NotThereYet(DownloadError):
    """May succeed later: not found, connection broken, the server is busy."""


class TooSlow(NotThereYet):
    """Nothing came in time, or it came so slowly that it would hold a place for minutes."""


class NotAllowed(DownloadError):
    """Will never be downloaded: a host that is not allowed, or something that is no address of an image."""


class ImageSource:
    """The HTTP client for images."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allow_private = settings.allow_private_addresses
        self._most_bytes = settings.image_max_bytes
        self._client = httpx.AsyncClient(transport=open_transport(settings), timeout=TIMEOUT, trust_env=False)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def get(self, url: str, came: Came = lambda _: None) -> bytes:
        """The bytes of the image at that address, decoded if it is served as base64. Raises DownloadError.

        `came` is told the size of each piece; what it raises ends the download.
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                content = await self._follow(url, came)
        except httpx.InvalidURL as error:  # httpx parses a redirect's target although it is told not to follow it
            raise NotAllowed("it is redirected to an address that cannot be read") from error
        except (httpx.ReadTimeout, TimeoutError) as error:
            raise TooSlow(type(error).__name__) from error
        except httpx.TransportError as error:
            raise NotThereYet(type(error).__name__) from error
        return decode_inline(content.decode("ascii", "replace")) if PROVIDER.serves_text(url) else content

    async def _follow(self, url: str, came: Came) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            asked = self._client.build_request("GET", self._checked(url), headers=PLAIN)
            async with asyncio.timeout(HEAD_SECONDS):
                answer = await self._client.send(asked, stream=True)
            try:
                if answer.status_code not in REDIRECTS:
                    return await self._content(answer, came)
                url = _target(url, answer.headers.get("location", ""))
            finally:
                await answer.aclose()
        raise NotThereYet("too many redirects")

    def _checked(self, url: str) -> httpx.URL:
        """The address to request, after all checks. Raises NotAllowed."""
        try:
            check_url(url, allow_private=self._allow_private)
            asked = httpx.URL(url)
            host = asked.host  # decoded here: a malformed international name fails only now, with a ValueError
        except (AddressRefused, httpx.InvalidURL, ValueError) as error:
            raise NotAllowed("it is at an address that is not asked") from error
        # those that are set; else the default ones and those of the upstream as it is configured now
        is_set = "image_hosts" in self._settings.model_fields_set
        hosts = self._settings.image_hosts + (() if is_set else upstream_hosts(self._settings))
        if not host_allowed(host, hosts):
            raise NotAllowed(f"{host[:100]} is not among DARKROOM_IMAGE_HOSTS")
        return asked if self._allow_private else asked.copy_with(scheme="https", port=None)

    async def _content(self, answer: httpx.Response, came: Came) -> bytes:
        if answer.status_code != 200:
            raise NotThereYet(f"HTTP {answer.status_code}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise NotThereYet("it is served compressed")
        content = await self._bounded(answer, came)
        promised = answer.headers.get("content-length")
        if promised is not None and promised != str(len(content)):
            raise NotThereYet(f"{len(content)} bytes came of {promised[:20]}")
        if not content:
            raise NotThereYet("nothing came")
        return content

    async def _bounded(self, answer: httpx.Response, came: Came) -> bytes:
        content, began = bytearray(), time.monotonic()
        async for chunk in answer.aiter_raw():
            content += chunk
            came(len(chunk))
            if len(content) < (time.monotonic() - began - GRACE_SECONDS) * FLOOR_BYTES_PER_SECOND:
                raise TooSlow(f"{len(content)} bytes came in {GRACE_SECONDS:.0f} s and more")
            if len(content) > self._most_bytes:
                raise NotAllowed(f"it is larger than {self._most_bytes} bytes")
        return bytes(content)


def _target(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise NotAllowed("it is redirected to an address that cannot be read") from error


def decode_inline(text: str) -> bytes:
    """The bytes of an image that came as base64 text, with or without a data: prefix. Raises NotThereYet."""
    head = DATA_URI.match(text)
    encoded = re.sub(r"\s+", "", text[head.end() :] if head else text)
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (Base64Error, ValueError) as error:
        raise NotThereYet("it is not base64") from error
