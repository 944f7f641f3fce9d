"""The scripts on a real server: accept once, one writer wins, a record that stays small, a job forgotten whole."""

import asyncio
import json
from dataclasses import replace

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.api_server import running_api
from tests.support.queue import DURATIONS, accepted, loaded, order
from worker.app import app
from worker.job import decisions
from worker.job.answer import Answer
from worker.job.codec import decode_timeline, numbered
from worker.job.cost import day_of
from worker.job.folder import folder_of
from worker.job.record import Status
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.loaded import Loaded
from worker.store.messages import Task
from worker.store.queue import UpstreamLimit

MOST = Allowance(1000)
SUCCESS = Answer("success", request_id="7", links=("https://cdn/a.png",))


async def test_a_record_comes_back_as_it_was_accepted(store: JobStore) -> None:
    """Every field of the order, the status, the first row of the timeline."""
    made = order(
        store, webhook="https://a.example/x", track_id="mine", metadata={"a": 1}, priority=7, on_unknown="fail"
    )
    await store.accept([made], MOST)
    found = await loaded(store, made.id)
    assert found.job.order == made
    assert (found.job.status, found.job.version) == (Status.QUEUED, 1)
    assert [row["cause"] for row in decode_timeline(found.timeline)] == ["accepted"]


async def test_accepting_twice_changes_nothing(store: JobStore, redis: Redis) -> None:
    """A client library that repeats a lost call makes no second job and no second message."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    made = order(store)
    for _ in range(2):
        assert (await store.accept([made], MOST)).verdict == "created"
    assert redis.llen(CELERY("submit")) == 1
    assert redis.hget("counts", "queued") == b"1"


async def test_the_message_is_the_one_that_celery_itself_writes(store: JobStore, redis: Redis, redis_url: str) -> None:
    """Equal to `apply_async` but for its ids and its origin, so a stock worker runs it."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    job_id = await accepted(store)
    ours = json.loads(redis.rpop(CELERY("submit")))  # type: ignore[arg-type]
    with app.connection_for_write(redis_url) as connection, app.amqp.Producer(connection) as producer:
        app.send_task(
            Task.SUBMIT.full_name,
            args=(job_id,),
            task_id=ours["headers"]["id"],
            queue="submit",
            producer=producer,
            ignore_result=True,
        )
    theirs = json.loads(redis.rpop(CELERY("submit")))  # type: ignore[arg-type]
    for message in (ours, theirs):
        message["headers"].pop("origin")
        message["properties"].pop("delivery_tag")
        message["properties"].pop("reply_to")
    assert ours == theirs


@pytest.mark.parametrize(("fingerprint", "verdict"), [("same-body", "same"), ("another-body", "mismatch")])
async def test_an_idempotency_key_answers_the_same_job_or_refuses(
    store: JobStore, fingerprint: str, verdict: str
) -> None:
    """The same body: the first job. Another body: nothing."""
    first, second = order(store), order(store)
    await store.accept([first], MOST, ("idempotency:acme:k", "same-body"))
    again = await store.accept([second], MOST, ("idempotency:acme:k", fingerprint))
    assert (again.verdict, again.ids) == (verdict, (first.id,))
    assert await store.load(second.id) is None


async def test_one_idempotency_key_used_at_once_makes_one_job(store: JobStore, redis: Redis) -> None:
    """Fifty at the same moment: one is created, all name it."""
    replies = await asyncio.gather(
        *(store.accept([order(store)], MOST, ("idempotency:acme:k", "body")) for _ in range(50))
    )
    assert [reply.verdict for reply in replies].count("created") == 1
    assert len({reply.ids for reply in replies}) == 1
    assert redis.hget("counts", "queued") == b"1"


async def test_a_full_queue_refuses_the_whole_batch(store: JobStore) -> None:
    """All or none."""
    batch = [order(store) for _ in range(3)]
    assert (await store.accept(batch, Allowance(2))).verdict == "full"
    assert await store.load(batch[0].id) is None


async def test_one_of_many_writers_wins(store: JobStore, redis: Redis) -> None:
    """Twenty workers with the same message: one claims, nineteen see that they were late."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    found = await loaded(store, await accepted(store))
    step = decisions.claim(found.job, "key-1", found.now, DURATIONS)
    assert step is not None
    won = await asyncio.gather(*(store.advance(found, step) for _ in range(20)))
    assert won.count(True) == 1
    assert redis.hgetall("counts") == {b"queued": b"0", b"submitting": b"1"}


async def test_an_end_with_a_webhook_makes_one_delivery(store: JobStore, redis: Redis) -> None:
    """In the same step as the status, with an id of its own."""
    found = await loaded(store, await accepted(store, webhook="https://a.example/x"))
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    assert await store.advance(found, step)
    ids = redis.lrange(f"deliveries:{found.job.id}", 0, -1)
    assert ids == [f"msg_{found.job.id}_2".encode()]
    assert redis.llen(CELERY("tell")) == 1


async def test_forgetting_leaves_no_trace(store: JobStore, redis: Redis) -> None:
    """Every key and every index; its folder is named for the sweep."""
    found = await loaded(store, await accepted(store, webhook="https://a.example/x"))
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    await store.advance(found, step)
    await store.forget(step.job)
    assert redis.zrange("tombstones", 0, -1) == [folder_of(step.job).encode()]
    redis.delete("tombstones")
    redis.delete("counts", "deliveries:counts", "stats", CELERY("tell"), "waiting", "fair:time", "fair:clock")
    usage = {f"usage:acme:{day_of(found.now)}".encode()}
    assert set(redis.keys("*")) == usage | {b"tenants"}, "only what the tenant has used is kept"


async def refused(store: JobStore, found: Loaded, times: int) -> Loaded:
    """The job after so many refusals, each an intent that came to nothing; nobody else writes meanwhile."""
    for _ in range(times):
        claim = decisions.claim(found.job, "key-1", store.now(), DURATIONS, "me")
        assert claim is not None
        assert await store.advance(found, claim)
        back = decisions.never_sent(claim.job, "me", store.now(), DURATIONS)
        assert back is not None
        assert await store.advance(replace(found, job=claim.job), back)
        found = replace(found, job=back.job)
    return await loaded(store, found.job.id)


async def test_a_record_stays_small_however_often_a_job_is_refused(store: JobStore, redis: Redis) -> None:
    """Its first rows and the newest stay, what is left out is counted, and the rows keep their numbers."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    found = await refused(store, await loaded(store, await accepted(store)), 60)
    early = list(numbered(decode_timeline(found.timeline)))
    assert [number for number, _ in early] == list(range(1, 122)), "a short one is whole"

    found = await refused(store, found, 1000)
    assert sum(map(len, redis.hgetall(f"job:{found.job.id}").values())) < 12_000
    rows = list(numbered(decode_timeline(found.timeline)))
    assert rows[:10] == early[:10]
    assert rows[-1][0] == 1 + 2 * 1060
    assert rows[10][0] - rows[9][0] == 1 + rows[10][1]["omitted"]
    assert [number for number, _ in rows[10:]] == list(range(rows[10][0], rows[-1][0] + 1))
    assert len(rows) > 50
    statuses = ("queued", "submitting")  # of rows with odd and with even numbers
    assert all(row["to"] == statuses[number % 2 == 0] for number, row in rows)
    assert all(row["from"] == statuses[number % 2] for number, row in rows[1:]), "also behind the gap"
    assert rows[-1][1]["attempt"] == 1060


async def test_followers_of_a_long_job_go_on_where_they_were(store: JobStore, settings: Settings) -> None:
    """`Last-Event-ID` in what is left out, and before it: each row once, ids that only grow."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    found = await refused(store, await loaded(store, await accepted(store)), 150)
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    assert await store.advance(found, step)
    with running_api(settings) as client:
        client.headers["authorization"] = "Bearer acme-key-0123"
        view, seen = f"/v1/jobs/{found.job.id}", {}
        for after in (0, 5, 40, 301):
            headers = {"last-event-id": str(after)}
            text = (await asyncio.to_thread(client.get, f"{view}/events", headers=headers)).text
            seen[after] = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
        timeline = (await asyncio.to_thread(client.get, view)).json()["timeline"]
    assert seen[0] == sorted(set(seen[0]))
    assert (seen[0][:10], seen[0][-1], seen[301]) == ([*range(1, 11)], 302, [302])
    assert (seen[5], seen[40]) == (seen[0][5:], seen[0][10:])
    assert len(timeline) == len(seen[0])
    assert sum(row.get("omitted", 0) for row in timeline) == 302 - len(timeline)


async def test_messages_of_a_version_before_are_taken_over(store: JobStore, redis: Redis) -> None:
    """From each queue, in their order, behind what is there already; nothing is left or doubled."""
    job_id = await accepted(store)
    await store.queue.configure([UpstreamLimit("a", 1)])
    submit = CELERY("submit")
    message = redis.lindex(submit, 0)
    redis.lpush("celery:submit", "first", "second")
    redis.lpush("celery:tell", "told")
    assert await store.queue.adopt_messages() == 3
    assert redis.lrange(submit, 0, -1) == [b"second", b"first", message]
    assert redis.lrange(CELERY("tell"), 0, -1) == [b"told"]
    assert redis.keys("celery:*") == []
    assert job_id in message.decode()
    assert await store.queue.adopt_messages() == 0
