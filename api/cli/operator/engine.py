"""What the verbs for operators use: Redis and the stores directly, so that they also work while the API is down."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.cli.stack.running import settings_here
from config.logs import configure_logs
from config.settings import Settings
from worker.composition import job_store
from worker.operate.flow import FlowControl
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Engine:
    """The connections and stores of one command."""

    settings: Settings
    lane: Lane
    store: JobStore
    flow: FlowControl


def on_engine(act: Callable[[Engine], Awaitable[int]]) -> int:
    """Runs one command on the configured Redis. Returns its exit code, or 3 with a sentence if Redis is away."""
    try:
        return asyncio.run(_run(act))
    except RedisUnavailable as error:
        print(f"darkroom: Redis does not answer ({error}): see DARKROOM_REDIS_URL.", file=sys.stderr)
        return 3


async def _run(act: Callable[[Engine], Awaitable[int]]) -> int:
    settings = settings_here()
    configure_logs(settings, "operator")  # on stderr, so that only the answer is on stdout
    async with _opened(settings) as engine:
        await engine.store.condition.results()  # learns the time of Redis' clock
        return await act(engine)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Engine]:
    lane = Lane(connect(settings.redis_url.get_secret_value(), TIMEOUT_SECONDS), TIMEOUT_SECONDS)
    store = job_store(settings, lane)
    try:
        yield Engine(settings, lane, store, FlowControl(lane, store))
    finally:
        await lane.aclose()
