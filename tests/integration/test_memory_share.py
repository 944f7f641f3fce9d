"""Redis' memory between tenants, and near its limit: accepts stop exactly where the reserve begins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.broker import KEY_PREFIX
from tests.support.queue import order
from worker.app import app
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect
from worker.store.memory import memory_of, tenant_bytes
from worker.store.messages import message_template

SHARE = 0.85


@asynccontextmanager
async def stores(folder: Path, maxmemory: str, processes: int) -> AsyncIterator[list[JobStore]]:
    """One store for each process of an installation, on a server of that size."""
    server = EmbeddedRedis(folder / "redis", free_port(), maxmemory=maxmemory, fsync="no")
    server.start()
    lanes = [Lane(connect(server.url, 5), 5) for _ in range(processes)]
    yield [JobStore(lane, message_template(app), KEY_PREFIX, 60_000) for lane in lanes]
    for lane in lanes:
        await lane.aclose()
    server.stop()


async def fill_up(store: JobStore, tenant: str, bytes_: int, size: int, allowance: Allowance) -> str:
    """Accepts batches until one is refused; why. Full of what is under way is not refused: it ends in a moment."""
    while True:
        batch = [order(store, tenant, request={"prompt": "x" * bytes_}) for _ in range(size)]
        try:
            verdict = (await store.accept(batch, allowance)).verdict
        except RedisUnavailable:
            await asyncio.sleep(0.01)
            continue
        if verdict != "created":
            return verdict


async def test_large_batches_of_many_at_once_leave_the_reserve(tmp_path: Path) -> None:
    """Each accept looks at Redis' memory itself: between two looks of the door it could all be used up."""
    allowance = Allowance(10_000_000, memory_share=SHARE)
    async with stores(tmp_path, "32mb", 6) as processes:
        for size in (40, 1):
            filling = (fill_up(store, "acme", 60_000, size, allowance) for store in processes)
            assert set(await asyncio.gather(*filling)) == {"memory"}
            assert 0.5 < (await memory_of(processes[0]._lane)).share < SHARE + 0.02


async def test_tenants_that_use_all_they_may_leave_room_for_another(tmp_path: Path) -> None:
    """Three times what is left free: three quarters, then as much of the rest, and so on. With deletes it shifts."""
    allowance = Allowance(10_000_000, memory_share=SHARE, shares_memory=True)
    async with stores(tmp_path, "12mb", 1) as (store,):
        room, used = (await memory_of(store._lane)).room(SHARE), []
        for tenant in ("loud", "next", "quiet"):
            assert await fill_up(store, tenant, 4000, 5, allowance) == "tenant_memory"
            used.append(await tenant_bytes(store._lane, tenant) / room)
        assert 0.65 < used[0] < 0.8 and 0.12 < used[1] < 0.25 and used[2] > 0.02
        assert (await store.accept([order(store, "loud")], allowance)).verdict == "tenant_memory"
        assert (await store.accept([order(store, "new")], allowance)).verdict == "created"
