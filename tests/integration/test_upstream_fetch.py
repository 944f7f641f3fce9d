"""What the client says of a question to the upstream: an answer, or nobody could be asked."""

import asyncio

import pytest

from config.settings import Settings
from tests.support.upstream_server import (
    Script,
    answer,
    answering,
    at,
    client,
    never_answer,
    refuse,
    serving,
)
from worker.upstream.client import UpstreamClient
from worker.upstream.errors import Unreadable, UpstreamUnavailable

PROCESSING = b'{"status":"processing","id":134701497,"eta":2.75,"output":[]}'


async def test_fetch_says_what_the_upstream_says() -> None:
    """An image that is done comes with its addresses."""
    done = b'{"status":"success","id":13443927,"output":["https://cdn.example/0.png"]}'
    async with serving(answering(answer(done))) as server, client() as upstream:
        found = await upstream.fetch(at(server.url), "1")
    assert server.requests[0][0].startswith(b"POST /canary-path/fetch ")
    assert (found.kind, found.links) == ("success", ("https://cdn.example/0.png",))


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_a_request_that_the_upstream_does_not_know_is_an_answer(status: str) -> None:
    """It is told from an upstream that could not be asked, whatever its HTTP status."""
    unknown = b'{"status":"failed","id":"","message":"Request not found","output":""}'
    async with serving(answering(answer(unknown, status))) as server, client() as upstream:
        found = await upstream.fetch(at(server.url), "1")
    assert (found.kind, found.message) == ("failed", "Request not found")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (answering(answer(b"<html>", "503 No")), UpstreamUnavailable),
        (answering(answer(b'{"status":"error","message":"Rate limit exceeded"}', "429 No")), UpstreamUnavailable),
        (answering(answer(b'{"status":"error","message":"Invalid API key"}')), UpstreamUnavailable),
        (answering(answer(PROCESSING)[:-3]), UpstreamUnavailable),
        (answering(answer(b"<html>")), Unreadable),
        (answering(answer(b'{"message":""}', "404 Not Found")), Unreadable),
        (refuse, UpstreamUnavailable),
    ],
)
async def test_an_upstream_that_could_not_be_asked_is_an_error(script: Script, expected: type[Exception]) -> None:
    """One of two kinds, both harmless to repeat, neither with an address in it."""
    async with serving(script) as server, client() as upstream:
        with pytest.raises(expected) as caught:
            await upstream.fetch(at(server.url), "1")
    assert "canary" not in str(caught.value)


async def test_an_upstream_that_hangs_holds_no_more_than_half_of_the_places() -> None:
    """The others are for callbacks and deadlines: a question beyond is put off at once, and asked later."""
    async with serving(never_answer) as server:
        opened = UpstreamClient(Settings(_env_file=None, allow_private_addresses=True, settle_concurrency=6))
        asking = [asyncio.create_task(opened.fetch(at(server.url), "1", 30)) for _ in range(3)]
        while len(server.requests) < 3:  # noqa: ASYNC110 - the server counts and tells nobody
            await asyncio.sleep(0.01)
        with pytest.raises(UpstreamUnavailable):
            await asyncio.wait_for(opened.fetch(at(server.url), "1", 30), 5)
        async with serving(answering(answer(PROCESSING))) as another:
            assert (await opened.fetch(at(another.url), "1", 5)).kind == "processing", "another server hangs with it"
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        with pytest.raises(UpstreamUnavailable):
            await opened.fetch(at(server.url), "1", 0.2)  # there is a place again, and it is used
        assert len(server.requests) == 4
        await opened.aclose()
