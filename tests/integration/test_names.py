"""Look-ups of names: a name server of our own that is slow, silent or hostile, and the transport that dials."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvloop
from aiohttp.abc import ResolveResult

from tests.support.name_server import NameServer
from worker.network import names
from worker.network.addresses import AddressRefused
from worker.network.names import CALLERS_FAILED_SECONDS, GuardedResolver, NoAddress
from worker.network.transport import AiohttpTransport


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as made:
        yield made


@asynccontextmanager
async def resolving(server: NameServer, *, allow_private: bool = True) -> AsyncIterator[GuardedResolver]:
    made = GuardedResolver(
        allow_private=allow_private, servers=(server.address,), failed_seconds=CALLERS_FAILED_SECONDS
    )
    yield made
    await made.close()


def hosts(found: list[ResolveResult]) -> list[str]:
    return [each["host"] for each in found]


async def test_names_that_are_never_answered_delay_no_other_name(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "LOOK_UP_SECONDS", 1.0)
    async with resolving(server) as resolver:
        silent = [asyncio.create_task(resolver.resolve(f"hang{number}.test", 80)) for number in range(300)]
        await asyncio.sleep(0)
        began = time.monotonic()
        found = await resolver.resolve("quiet.test", 8080)
        assert time.monotonic() - began < 1
        assert [(each["host"], each["port"], each["hostname"]) for each in found] == [("127.0.0.1", 8080, "quiet.test")]
        ends = await asyncio.gather(*silent, return_exceptions=True)
        assert {type(each) for each in ends} == {NoAddress}
        assert time.monotonic() - began < names.LOOK_UP_SECONDS + 1


async def test_everybody_who_waits_for_a_name_shares_one_question(server: NameServer) -> None:
    server.late_seconds = 0.2
    async with resolving(server) as resolver:
        first = asyncio.create_task(resolver.resolve("late.test", 1))
        others = [asyncio.create_task(resolver.resolve("LATE.test", port)) for port in range(2, 9)]
        await asyncio.sleep(0.05)
        first.cancel()  # whoever asked first may give up
        assert [hosts(each) for each in await asyncio.gather(*others)] == [["127.0.0.1"]] * 7
        assert hosts(await resolver.resolve("late.test", 9)) == ["127.0.0.1"]
    assert server.asked["late.test"] == 1


async def test_a_name_that_failed_is_remembered_longer_each_time(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("worker.network.names.time.monotonic", lambda: clock[0])
    async with resolving(server) as resolver:
        asked = []
        for seconds in (0, 3.9, 0.2, 29, 2, 59, 2):
            clock[0] += seconds
            with pytest.raises(NoAddress):
                await resolver.resolve("missing.test")
            asked.append(server.asked["missing.test"])
    assert asked == [1, 1, 2, 2, 3, 3, 4]


async def test_only_a_bounded_number_of_names_is_remembered(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_REMEMBERED", 2)
    async with resolving(server) as resolver:
        for name in ("a.test", "b.test", "c.test", "a.test"):
            await resolver.resolve(name)
    assert server.asked == {"a.test": 2, "b.test": 1, "c.test": 1}


async def test_look_ups_beyond_the_bound_wait_for_a_place(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_AT_ONCE", 2)
    server.late_seconds = 0.1
    async with resolving(server) as resolver:
        found = await asyncio.gather(*(resolver.resolve(f"late{number}.test") for number in range(6)))
    assert [hosts(each) for each in found] == [["127.0.0.1"]] * 6


async def test_an_ipv6_question_without_an_answer_costs_a_moment_only(server: NameServer) -> None:
    began = time.monotonic()
    async with resolving(server) as resolver:
        assert hosts(await resolver.resolve("half.test")) == ["127.0.0.1"]
    assert time.monotonic() - began < 2


async def test_localhost_needs_no_name_server(server: NameServer) -> None:
    async with resolving(server) as resolver:
        assert "127.0.0.1" in hosts(await resolver.resolve("localhost"))
    assert not server.asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"], ["::ffff:10.0.0.1"]])
async def test_one_private_address_refuses_the_whole_name(server: NameServer, addresses: list[str]) -> None:
    server.addresses["inside.test"] = addresses
    async with resolving(server, allow_private=False) as resolver:
        for _ in range(3):
            with pytest.raises(AddressRefused):
                await resolver.resolve("inside.test")
    assert server.asked["inside.test"] == 1, "asked again: the time would tell it from a name without an address"


async def test_a_refused_and_an_unknown_name_read_the_same_to_the_sender(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "LOOK_UP_SECONDS", 0.5)
    resolver = GuardedResolver(allow_private=False, servers=(server.address,), failed_seconds=(1.0,))
    async with httpx.AsyncClient(transport=AiohttpTransport(resolver, allow_private=False)) as client:
        said = []
        for name in ("inside.test", "missing.test", "hang.test", "late.test"):
            with pytest.raises(httpx.ConnectError) as caught:  # a proof that nothing was sent
                await client.post(f"http://{name}/", content=b"x", timeout=10)
            said.append((type(caught.value), str(caught.value)))
    assert len(set(said)) == 1


async def test_a_name_is_looked_up_once_and_its_number_dialled(server: NameServer) -> None:
    """A second look-up could have another answer (DNS rebinding)."""
    dialled = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("sockname")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    resolver = GuardedResolver(allow_private=True, servers=(server.address,), failed_seconds=(1.0,))
    async with listening, httpx.AsyncClient(transport=AiohttpTransport(resolver, allow_private=True)) as client:
        assert (await client.get(f"http://rebind.test:{port}/")).status_code == 200
    assert (server.asked["rebind.test"], dialled) == (1, ["127.0.0.1"])


def test_it_holds_on_the_loop_of_the_workers(server: NameServer) -> None:
    async def story() -> list[str]:
        async with resolving(server) as resolver:
            waiting = asyncio.create_task(resolver.resolve("hang.test"))
            await asyncio.sleep(0.05)
            found = hosts(await resolver.resolve("quiet.test"))
        with pytest.raises(NoAddress):  # closed while a look-up was under way
            await waiting
        return found

    began = time.monotonic()
    assert uvloop.run(story()) == ["127.0.0.1"]
    assert time.monotonic() - began < 2
