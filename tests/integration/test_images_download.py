"""Images over real sockets: from allowed hosts only, whole or not at all, and every failure is one of two kinds."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from worker.images.download import DownloadError, ImageSource, NotAllowed, NotThereYet, decode_inline

IMAGE = bytes(range(256)) * 400
MOST_BYTES = 200_000


class Site:
    """A small web server: raw answers by path, and who asked for what."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one raw answer, the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            self.heads.append(head)
            writer.write(self.answers.get(path, answer(b"not found", "404 Not Found")))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone, as some tests want
        finally:
            writer.close()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a free port."""
    made = Site()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield made


@asynccontextmanager
async def source(**settings: object) -> AsyncIterator[ImageSource]:
    """An image source for development, unless told otherwise."""
    chosen = {"allow_private_addresses": True, "image_max_bytes": MOST_BYTES, "image_hosts": "127.0.0.1"} | settings
    made = ImageSource(Settings(_env_file=None, **chosen))
    try:
        yield made
    finally:
        await made.aclose()


def answer(body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` is what it promises."""
    promised = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {promised}\r\n{headers}\r\n".encode() + body


def moved(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return answer(b"", status, f"location: {location}\r\n")


Get = Callable[[bytes], Awaitable[bytes]]


async def got(raw: bytes, path: str = "/0.png") -> bytes:
    """What comes of an address that answers these bytes."""
    async with site() as here, source() as images:
        here.answers[path] = raw
        return await images.get(here.url + path)


async def test_an_image_comes_byte_for_byte() -> None:
    """Asked for uncompressed, at exactly the address given."""
    async with site() as here, source() as images:
        here.answers["/a/0.png?X-Signature=a%2Fb"] = answer(IMAGE)
        assert await images.get(f"{here.url}/a/0.png?X-Signature=a%2Fb") == IMAGE
    assert b"accept-encoding: identity\r\n" in here.heads[0].lower()


async def test_an_image_may_come_in_chunks_of_no_told_length() -> None:
    """What decodes is decided by the decoder, not by a length."""
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert await got(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks) == b"abcde"


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"not found", "404 Not Found"),
        answer(b"denied", "403 Forbidden"),
        answer(b"down", "503 No"),
        answer(b"part", "206 Partial Content"),
        answer(b"", "304 Not Modified"),
        answer(b""),
        answer(IMAGE, length=len(IMAGE) + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
        answer(IMAGE, headers="content-encoding: gzip\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-",
        b"",
        b"220 mail.example ESMTP\r\n",
    ],
)
async def test_what_did_not_come_whole_may_come_later(raw: bytes) -> None:
    """Not there yet, denied yet, busy, short, compressed, broken off: worth another try."""
    with pytest.raises(NotThereYet):
        await got(raw)


async def test_nobody_listening_may_be_there_later() -> None:
    """Also without a connection."""
    async with site() as here:
        url = here.url
    async with source() as images:
        with pytest.raises(NotThereYet):
            await images.get(f"{url}/0.png")


async def test_the_limit_holds_whatever_the_length_says() -> None:
    """Bytes are counted as they come; at the limit it is kept, above it refused."""
    endless = b"HTTP/1.1 200 OK\r\n\r\n"
    assert await got(endless + bytes(MOST_BYTES)) == bytes(MOST_BYTES)
    with pytest.raises(NotAllowed, match="larger than 200000 bytes"):
        await got(endless + bytes(MOST_BYTES + 1))


async def test_three_redirects_are_followed_and_no_fourth() -> None:
    """Relative and absolute ones."""
    async with site() as here, source() as images:
        here.answers |= {
            "/4": moved("/3"),
            "/3": moved(f"{here.url}/2", "308 x"),
            "/2": moved("1"),
            "/1": answer(IMAGE),
        }
        assert await images.get(f"{here.url}/4") == IMAGE
        here.answers["/5"] = moved("/4")
        with pytest.raises(NotThereYet, match="too many redirects"):
            await images.get(f"{here.url}/5")


@pytest.mark.parametrize(
    "location", ["http://[", "file:///etc/passwd", "http://user@127.0.0.1/", "data:image/png,x", "http://a b/"]
)
async def test_a_redirect_to_no_address_is_refused(location: str) -> None:
    """Each step is looked at like the first one."""
    with pytest.raises(NotAllowed):
        await got(moved(location))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/0.png",
        "https://modelslab.com.evil.example/0.png",
        "https://127.0.0.1/0.png",
        "https://user@modelslab.com/0.png",
        "https://modelslab.com:8443/0.png",
        "ftp://modelslab.com/0.png",
        "https://xn--/0.png",
        "modelslab.com/0.png",
        "",
    ],
)
async def test_a_host_that_is_not_allowed_is_never_asked(url: str) -> None:
    """Nor an odd address on one that is."""
    async with source(allow_private_addresses=False) as images:
        with pytest.raises(NotAllowed):
            await images.get(url)


@pytest.mark.parametrize(
    ("host", "refusal"),
    [("127.0.0.1", pytest.raises(NotAllowed)), ("localhost", pytest.raises(NotThereYet, match="ConnectError"))],
)
async def test_an_allowed_host_on_a_private_address_is_not_dialled(host: str, refusal: Any) -> None:
    """A name of an allowed host that resolves to us gains nothing; the port is https's own."""
    async with source(allow_private_addresses=False, image_hosts=host) as images:
        with refusal:
            await images.get(f"http://{host}/0.png")


async def test_private_addresses_open_no_other_host() -> None:
    """The two settings are apart: a host that is not named is not asked, wherever it is."""
    async with site() as here, source(image_hosts="modelslab.com") as images:
        here.answers["/0.png"] = answer(IMAGE)
        with pytest.raises(NotAllowed, match="not among DARKROOM_IMAGE_HOSTS"):
            await images.get(f"{here.url}/0.png")
        assert here.asked == []


@pytest.mark.parametrize("pool", [False, True])
async def test_hosts_that_are_not_named_are_those_of_the_upstream_as_well(pool: bool) -> None:
    """Of its one address, or of each pair of the pool."""
    async with site() as here:
        here.answers["/0.png"] = answer(IMAGE)
        given = {"upstream_key": f"{here.url}/api|k1"} if pool else {"upstream_url": here.url, "upstream_key": "k1"}
        settings = Settings(_env_file=None, allow_private_addresses=True, **given)  # type: ignore[arg-type]
        images = ImageSource(settings)
        assert await images.get(f"{here.url}/0.png") == IMAGE
        await images.aclose()


async def test_an_image_may_be_served_as_base64_text() -> None:
    """At an address that ends so, with or without a data: prefix; elsewhere the text is left alone."""
    text = b64encode(IMAGE)
    assert await got(answer(text), "/0.base64") == IMAGE
    assert await got(answer(b"data:image/png;base64," + text), "/0.base64?x=1") == IMAGE
    assert await got(answer(text), "/0.png") == text
    with pytest.raises(NotThereYet):
        await got(answer(b"<html>"), "/0.base64")


@pytest.mark.parametrize(
    "prefix", ["", "data:image/png;base64,", "data:;base64,", "data:image/svg+xml;charset=utf-8;base64,"]
)
@pytest.mark.parametrize(
    "dress", [lambda t: t, lambda t: t.rstrip("="), lambda t: "\r\n".join(t[i : i + 76] for i in range(0, len(t), 76))]
)
def test_inline_base64_is_read_in_every_dress(prefix: str, dress: Callable[[str], str]) -> None:
    """With a prefix or without, without padding, broken into lines."""
    assert decode_inline(prefix + dress(b64encode(IMAGE + b"x").decode())) == IMAGE + b"x"


@given(st.text(max_size=100))
def test_no_inline_text_makes_it_raise_anything_else(text: str) -> None:
    """It is foreign text."""
    try:
        assert isinstance(decode_inline(text), bytes)
    except DownloadError as error:
        assert str(error) == "it is not base64"
