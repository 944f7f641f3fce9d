"""Images over real sockets: from allowed hosts only, whole or not at all, and every failure is one of two kinds."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from tests.support.image_site import IMAGE, MOST_BYTES, answer, moved, site, source
from worker.images import download
from worker.images.download import DownloadError, ImageSource, NotAllowed, NotThereYet, TooSlow, decode_inline

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


async def test_a_redirect_opens_no_other_host_either() -> None:
    """Also where private addresses are allowed: each address on the way is checked as the first."""
    async with site() as here, source() as images:
        here.answers["/0.png"] = moved(f"{here.url}/1.png".replace("127.0.0.1", "localhost"))
        here.answers["/1.png"] = answer(IMAGE)
        with pytest.raises(NotAllowed, match="not among DARKROOM_IMAGE_HOSTS"):
            await images.get(f"{here.url}/0.png")
        assert here.asked == ["/0.png"]


@pytest.mark.parametrize("head", [True, False])
async def test_what_trickles_is_given_up_after_a_grace(head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte at a time, of the answer's head or of the image: no time limit between two bytes would ever end it."""
    monkeypatch.setattr(download, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.3)
    whole, over = answer(IMAGE), asyncio.Event()
    fast = 0 if head else whole.index(b"\r\n\r\n") + 4

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[:fast])
        with suppress(ConnectionError):
            for at in range(fast, len(whole)):
                writer.write(whole[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        over.set()

    listening = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with source() as images:
        began = time.monotonic()
        with pytest.raises(TooSlow):
            await images.get(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0.png")
        assert time.monotonic() - began < 2
    await over.wait()
    listening.close()


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
