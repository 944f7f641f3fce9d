"""Turns at the decoder's children: fair between tenants, and one of them free for whoever comes."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.images.turns import Turns


@pytest.fixture
def turns() -> Turns:
    """Three places."""
    return Turns(3)


async def hold(turns: Turns, tenant: str, log: list[str], leave: asyncio.Event) -> None:
    """Takes a turn, says so, gives it back when it is told to."""
    async with turns.of(tenant):
        log.append(tenant)
        await leave.wait()


async def quiet() -> None:
    """Until everybody has gone as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_tenant_never_holds_the_last_place(turns: Turns) -> None:
    """However many of its wait; another one's comes at once."""
    log: list[str] = []
    leave = asyncio.Event()
    tasks = [asyncio.create_task(hold(turns, "acme", log, leave)) for _ in range(5)]
    await quiet()
    assert log == ["acme"] * 2
    tasks.append(asyncio.create_task(hold(turns, "other", log, leave)))
    await quiet()
    assert log == ["acme", "acme", "other"]
    leave.set()
    await asyncio.gather(*tasks)
    assert log.count("acme") == 5


async def test_those_that_wait_are_served_tenant_by_tenant(turns: Turns) -> None:
    """Who came with many does not go before who came later with few."""
    log: list[str] = []
    async with AsyncExitStack() as held:
        for tenant in ("x", "y", "z"):
            await held.enter_async_context(turns.of(tenant))
        leave = asyncio.Event()
        leave.set()
        names = ["acme"] * 4 + ["one", "two"]
        tasks = [asyncio.create_task(hold(turns, name, log, leave)) for name in names]
        await quiet()
        assert log == []
    await asyncio.gather(*tasks)
    assert set(log[:3]) == {"acme", "one", "two"}
    assert sorted(log) == sorted(names)


async def test_who_gives_up_waiting_leaves_no_place_lost(turns: Turns) -> None:
    """Cancelled in line, or in the very moment in which its turn comes."""
    for pauses in (0, 1, 2):
        async with AsyncExitStack() as held:
            for tenant in ("x", "y", "z"):
                await held.enter_async_context(turns.of(tenant))
            waiting = asyncio.create_task(hold(turns, "acme", [], asyncio.Event()))
            await quiet()
            if pauses:
                waiting.cancel()
        if not pauses:
            waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with AsyncExitStack() as held:
        for tenant in ("x", "y", "z"):
            await asyncio.wait_for(held.enter_async_context(turns.of(tenant)), 1)
