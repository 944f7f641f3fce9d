"""Turns at the decoder's children: fair between tenants by the time they take, and one free for whoever uses little."""

import asyncio
from collections.abc import AsyncIterator
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


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Room:
    """Tenants at three places, by that clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(3, self.clock)
        self.inside: list[tuple[str, asyncio.Event]] = []
        """Who holds a place, the longest first, and how it is told to leave."""
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, *tenants: str) -> None:
        """Each wants a turn."""
        self.tasks += [asyncio.create_task(self._visit(tenant)) for tenant in tenants]

    async def after(self, seconds: float, *leaving: str) -> list[str]:
        """Time passes, then some leave. Returns who is inside, by name."""
        await quiet()
        self.clock.now += seconds
        for tenant in leaving:
            next(leave for name, leave in self.inside if name == tenant and not leave.is_set()).set()
        await quiet()
        return sorted(name for name, _ in self.inside)

    async def _visit(self, tenant: str) -> None:
        async with self.turns.of(tenant):
            place = (tenant, asyncio.Event())
            self.inside.append(place)
            await place[1].wait()
            self.inside.remove(place)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """An empty one."""
    made = Room()
    yield made
    for task in made.tasks:
        task.cancel()


async def test_who_will_have_used_least_is_served_first(room: Room) -> None:
    """Not who came first, nor who came less often; one of whom nothing is known may be slow."""
    room.come("slow", "slow", "quick")
    assert await room.after(0) == ["quick", "slow", "slow"]
    room.come("other")
    assert await room.after(0.2, "quick") == ["other", "slow", "slow"]
    room.come("slow", "new", "quick")
    assert await room.after(0.1, "other") == ["quick", "slow", "slow"]
    assert await room.after(0.1, "quick") == ["new", "slow", "slow"]


async def test_many_new_and_slow_tenants_cost_one_turn(room: Room) -> None:
    """Nothing is known of any of them, and they came first: whoever is known to be quick is the next."""
    room.come("quick")
    await room.after(0.1, "quick")
    room.come(*(f"loud{number}" for number in range(8)))
    await room.after(0)
    room.come("quick")
    assert "quick" not in await room.after(4)
    assert "quick" in await room.after(0, "loud1")


async def test_tenants_that_use_much_leave_one_place_free_together(room: Room) -> None:
    """However many they are: one with a quick image does not even wait for one of their turns."""
    loud = [f"loud{number}" for number in range(8)]
    room.come(*loud, *loud)
    for _ in range(20):
        inside = await room.after(6)
        room.come(*inside[:2])
        await room.after(0, *inside[:2])
    assert len(await room.after(6)) == 2
    for _ in range(10):
        room.come("quiet")
        assert "quiet" in await room.after(0.02)
        assert len(await room.after(0.02, "quiet")) == 2


async def test_they_share_the_others_by_time(room: Room) -> None:
    """Eight that want all the time get about as much each, whether their turns are long or short."""
    served: dict[str, float] = {}
    room.come(*(f"loud{number}" for number in range(8)))
    for _ in range(400):
        await room.after(0)
        inside = [name for name, _ in room.inside]
        first, seconds = inside[0], 1.0 + int(inside[0][-1]) / 2
        for each in inside:
            served[each] = served.get(each, 0) + seconds
        room.come(first)
        await room.after(seconds, first)
    assert max(served.values()) < 1.5 * min(served.values())


async def test_use_is_forgotten(room: Room) -> None:
    """Who used much a while ago has a quiet one's place again; nothing is kept of those that are gone."""
    room.come("loud", "loud")
    await room.after(20, "loud", "loud")
    room.come("busy", "busy")
    await room.after(120)
    room.come("loud")
    assert await room.after(0) == ["busy", "busy", "loud"]
    await room.after(600, "busy", "busy", "loud")
    room.come("new")
    await room.after(3700, "new")
    room.come("newer")
    await room.after(0)
    assert "loud" not in room.turns._uses
    assert "busy" not in room.turns._uses


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
