"""Messages for Celery where one tenant has very many at one moment: those of others go in turn, and none gets lost."""

import asyncio
import json
from collections import Counter

from redis import Redis

from tests.support.queue import accepted, advanced, claimed, loaded
from worker.job import decisions
from worker.store.jobs import JobStore
from worker.store.keys import CELERY

MANY, IN_LIST = 100, 16
BODY = b'{"status":"failed"}'


async def called_back(store: JobStore, tenant: str, jobs: int) -> list[str]:
    """So many jobs of a tenant, for each of which a callback has come."""
    ids = await asyncio.gather(*(accepted(store, tenant) for _ in range(jobs)))
    await asyncio.gather(*(store.inbox.keep(each, 1, BODY) for each in ids))
    return ids


def taken(redis: Redis, most: int = IN_LIST) -> list[str]:
    """The jobs of the next messages, as a worker takes them."""
    messages = redis.rpop(CELERY("settle"), most) or []
    return [json.loads(json.loads(each)["body"])[0][0] for each in messages]  # type: ignore[union-attr]


async def test_a_tenants_hundred_messages_go_before_none_of_another(store: JobStore, redis: Redis) -> None:
    """The list stays short, and the next that are sent are of both."""
    many = await called_back(store, "acme", MANY)
    (one,) = await called_back(store, "other", 1)
    assert redis.llen(CELERY("settle")) == IN_LIST
    assert set(taken(redis)) <= set(many)
    assert await store.queue.empty_outbox("settle")
    following = taken(redis)
    assert one in following
    assert len(set(following) & set(many)) > IN_LIST // 3


async def test_a_scaler_is_shown_what_waits_for_its_turn_as_well(store: JobStore, redis: Redis) -> None:
    """The list alone never says more than it may hold."""
    await called_back(store, "acme", MANY)
    await called_back(store, "other", 2)
    assert (await store.condition.census()).messages["settle"] == MANY + 2


async def test_every_message_is_sent_once(store: JobStore, redis: Redis) -> None:
    """By however many processes; then a message goes directly again."""
    ids = await called_back(store, "acme", MANY)
    seen: Counter[str] = Counter()
    while messages := taken(redis):
        seen.update(messages)
        await asyncio.gather(*(store.queue.empty_outbox("settle") for _ in range(3)))
    assert seen == Counter(ids)
    assert redis.keys("outbox*") == []
    await called_back(store, "acme", 1)
    assert (redis.llen(CELERY("settle")), redis.keys("outbox*")) == (1, [])


async def test_a_job_whose_message_waits_is_neither_sent_again_nor_taken_for_one_that_kills_workers(
    store: JobStore, redis: Redis
) -> None:
    """Its due time comes before its turn."""
    running = await accepted(store)
    await claimed(store, running)
    await called_back(store, "acme", MANY)
    for _ in range(5):
        redis.zadd("due", {running: 0})
        await store.queue.tick()
        assert running not in taken(redis)
        await asyncio.sleep(0.002)  # what is sent now is newer than what waits
        await store.queue.empty_outbox("settle")
    assert (await loaded(store, running)).job.stalls == 1


async def test_a_message_for_a_job_that_was_removed_meanwhile_leaves_nothing(store: JobStore, redis: Redis) -> None:
    """No key is written for it again."""
    ids = await called_back(store, "acme", MANY)
    gone = ids[-1]
    found = await loaded(store, gone)
    await store.forget(await advanced(store, found, decisions.cancelled(found.job, found.now)))
    seen = set()
    while messages := taken(redis):
        seen |= set(messages)
        await store.queue.empty_outbox("settle")
    assert seen == set(ids) - {gone}
    assert redis.keys(f"job:{gone}") == []
