"""`darkroom doctor`: checks whether this installation is ready to buy. Buys nothing itself.

It sends itself a callback through DARKROOM_PUBLIC_URL, because a tunnel, a proxy or a name that does not lead back here
is the most frequent reason for missing callbacks.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
from redis.exceptions import RedisError

from config.broker import QUEUES
from config.settings import Settings
from worker.images.broken import BrokenImage
from worker.images.chosen import open_store
from worker.images.decoder import Decoder
from worker.images.store import StoreError
from worker.network.transport import open_transport
from worker.startup import check_redis
from worker.store import keys
from worker.store.lane import Lane, RedisUnavailable, connect
from worker.store.memory import Memory, memory_of, tenants_bytes
from worker.upstream.accounts import upstream_pool
from worker.upstream.callback_url import callback_url
from worker.upstream.chosen import PROVIDER
from worker.upstream.cleaning import Cleaner
from worker.upstream.provider import missing

PROBE_TRACK_ID = "00000000000000000000000000-0"
MOST_SKEW_SECONDS = 5.0
NEARLY_ALL = 0.95
STEP_IS_NEWS_SECONDS = 86_400
MOST_UNTAKEN_SECONDS = 30.0
STEPS = ["steps", "last_step", "stepped_at"]
SECONDS = 10.0
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check: whether it is well, and what that means."""

    subject: str
    well: bool
    words: str
    away: bool = False
    """Redis does not answer, so nothing else can be checked."""
    is_note: bool = False
    """Nothing was looked at: it is good to know, and the same for every installation."""


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Checks everything that a job needs, one after another."""
    for subject, look in _LOOKS.items():
        away = False
        try:
            async with asyncio.timeout(SECONDS):
                problem = await look(settings)
        except (RedisError, RedisUnavailable, OSError, TimeoutError, StoreError, httpx.HTTPError) as error:
            away = look is _redis
            problem = f"does not answer ({type(error).__name__}: {error})"
        yield Diagnosis(subject, problem is None, problem or "well", away)
    for words in missing(PROVIDER.capabilities):
        yield Diagnosis(f"the provider, {PROVIDER.name}", True, words, is_note=True)


async def _redis(settings: Settings) -> str | None:
    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        warnings = await check_redis(redis, settings.redis_replicas)
    finally:
        await redis.aclose(close_connection_pool=True)
    return "; ".join(warnings) or None


async def _memory(settings: Settings) -> str | None:
    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        facts = await redis.info("memory")
    finally:
        await redis.aclose(close_connection_pool=True)
    memory = Memory(facts["used_memory"] - facts.get("mem_not_counted_for_evict", 0), facts.get("maxmemory", 0))
    if memory.share < settings.redis_memory_share:
        return None
    return f"{memory.share:.0%} of its maxmemory is used, so nothing is accepted: give it more, or remove finished jobs"


async def _tenants(settings: Settings) -> str | None:
    """Tenants that are refused, or soon will be, because their jobs use nearly all the memory that they may."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), SECONDS), SECONDS)
    try:
        room = (await memory_of(lane)).room(settings.redis_memory_share)
        found = [
            f"{tenant} uses {used / most:.0%} of the {most:,} bytes that it may"
            for tenant, used, most in await tenants_bytes(lane, settings.tenant_max_bytes, room)
            if most and used > NEARLY_ALL * most
        ]
    finally:
        await lane.aclose()
    return f"{'; '.join(found)}: purge finished jobs, or darkroom limit --tenant NAME bytes=…" if found else None


async def _clock(settings: Settings) -> str | None:
    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        seconds, microseconds = await redis.time()
        steps, last, at = map(int, (each or 0 for each in await redis.hmget(keys.CLOCK(), STEPS)))
    finally:
        await redis.aclose(close_connection_pool=True)
    skew = abs(time.time() - seconds - microseconds / 1e6)
    if skew > MOST_SKEW_SECONDS:
        return f"this machine's clock is {skew:.0f} s off Redis': set up NTP"
    if steps and seconds - at / 1000 < STEP_IS_NEWS_SECONDS:
        return f"Redis' clock was set {steps} times, at last by {last / 1000:+.0f} s: let it slew, not step"
    return None


async def _images(settings: Settings) -> str | None:
    await open_store(settings).check()
    return None


async def _decoder(settings: Settings) -> str | None:
    """Starts a decoder on this machine: a container, or another kind of machine, may allow no filter."""
    decoder = Decoder(settings)
    try:
        jail = await decoder.jail()
    except BrokenImage as error:
        return str(error)
    finally:
        await decoder.aclose()
    if jail == "seccomp" or sys.platform != "linux":
        return None
    return "no seccomp filter is allowed here: an image that takes its decoder over is held by limits only"


async def _callback(settings: Settings) -> str | None:
    """Sends a callback for a job that never existed: an API with our secret says so, and keeps nothing."""
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        answer = await client.post(
            callback_url(settings, PROBE_TRACK_ID), content=PROVIDER.empty_callback(PROBE_TRACK_ID), headers=JSON
        )
    if answer.status_code == 404:
        return "the API behind DARKROOM_PUBLIC_URL does not know our secret: is DARKROOM_SECRET the same there?"
    if answer.status_code != 200 or b"gone" not in answer.content:
        return f"DARKROOM_PUBLIC_URL answers {answer.status_code}, not as our API does: callbacks would not arrive"
    if settings.public_url.startswith("http://") and PROVIDER.is_at(settings.upstream_url):
        return "it arrives, but the provider wants https: set DARKROOM_PUBLIC_URL to a public https address"
    return None


async def _upstream(settings: Settings) -> str | None:
    """Asks each server with each key something that costs nothing."""
    problems, pool = [], upstream_pool(settings)
    clean = Cleaner(settings, lambda: (each.key for each in pool.values()))
    async with httpx.AsyncClient(transport=open_transport(settings), timeout=SECONDS, trust_env=False) as client:
        for upstream in pool.values():
            call = PROVIDER.greeting_call(upstream)
            answer = await client.post(call.url, content=call.body, headers=JSON)
            told = PROVIDER.parse(answer.content)
            if answer.status_code != 200 or told.kind == "error":
                problems.append(
                    f"{upstream.name} is refused: HTTP {answer.status_code} {clean.text(told.message)}".strip()
                )
    return "; ".join(problems) or None


async def _strays(settings: Settings) -> str | None:
    """Jobs upstream whose account left the configuration: only an account of the same server can ask for them."""
    known, redis = upstream_pool(settings), connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        names = {bytes(name).decode() for name in await redis.smembers(keys.UPSTREAMS())} - known.keys()  # type: ignore[arg-type]
        held = {name: count for name in sorted(names) if (count := await redis.zcard(keys.PLACES(name)))}
    finally:
        await redis.aclose(close_connection_pool=True)
    words = (
        f"{name} has {count} at the upstream and is not in DARKROOM_UPSTREAM_KEY: "
        "without a key of the same server nobody can ask for them"
        for name, count in held.items()
    )
    return "; ".join(words) or None


async def _taken(settings: Settings) -> str | None:
    """Queues in which messages wait, while no worker takes any: it is gone, or its consumer stands still."""
    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        seconds, _ = await redis.time()
        takers = await redis.hgetall(keys.TAKERS())
        waiting = {queue: await redis.llen(keys.CELERY(queue)) for queue in QUEUES}
    finally:
        await redis.aclose(close_connection_pool=True)
    since = {queue: seconds - int(takers.get(queue.encode(), 0)) / 1000 for queue in QUEUES}
    words = (
        f"{waiting[queue]} messages wait in {queue}, and no worker looks: is `python -m worker` running?"
        for queue in QUEUES
        if waiting[queue] and since[queue] > MOST_UNTAKEN_SECONDS
    )
    return "; ".join(words) or None


async def _parked(settings: Settings) -> str | None:
    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        kept = await redis.llen(keys.PARKED())
    finally:
        await redis.aclose(close_connection_pool=True)
    return f"{kept} messages that were not ours, or of no job: look with `darkroom parked`" if kept else None


_LOOKS: dict[str, Callable[[Settings], Awaitable[str | None]]] = {
    "Redis keeps what it accepts": _redis,
    "Redis has room for more jobs": _memory,
    "every tenant has memory for more jobs": _tenants,
    "the clocks agree": _clock,
    "the image store can be written": _images,
    "a decoder is in its jail": _decoder,
    "a callback comes back here": _callback,
    "the upstream takes our key": _upstream,
    "every job upstream can be asked for": _strays,
    "workers take from every queue": _taken,
    "no message was parked": _parked,
}
