"""Random sequences of everything that can happen to a job, over the engine and the real scripts: the promises hold.

What happens is drawn among what can happen: an answer only for a POST that waits for one, a callback only for what the
upstream really has, a message only if it is in its list. The upstream is a model that knows what it took, so whether
something was bought twice is judged by its bill and not by our record. After every event `darkroom audit`'s own rules
must hold, and at the end of every sequence all jobs must have ended.

STATE_MACHINE_EXAMPLES sets how many sequences are run; of more than usual, one that fails is also made as short as can
be, which takes minutes; fewer are the same ones each time.
"""

import asyncio
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis
from config.broker import KEY_PREFIX
from config.settings import Settings
from tests.support.key_leaks import leaks
from tests.support.skipped_clock import KEY, skip, skippable_clock, start_over
from tests.support.upstream_model import FATES, TAKING, Fate, Post, Says, Upstream
from worker import lifecycle
from worker.app import app
from worker.health import Health
from worker.images.folder import LocalImages
from worker.job import decisions
from worker.job.codec import decode_timeline
from worker.job.cost import Cost, cost_of
from worker.job.ids import new_job_id
from worker.job.record import OPEN, TERMINAL, TRANSITIONS, Image, Job, Order, Status
from worker.job.timing import Durations
from worker.operate.audit import Audit
from worker.operate.flow import FlowControl
from worker.overdue import end_overdue
from worker.recording import JobGone, record
from worker.resources import Resources
from worker.store.admission import Allowance, OverBudget
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.messages import message_template
from worker.store.queue import UpstreamLimit
from worker.upstream.accounts import Accounts
from worker.upstream.cleaning import Cleaner

USUAL_EXAMPLES = 20
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", USUAL_EXAMPLES))
DURATIONS = Durations(80_000, 60_000, 300_000)
CONTENT = b"not decoded here"
IMAGE = Image(0, "a/b.png", hashlib.sha256(CONTENT).hexdigest(), 64, 64, "PNG", len(CONTENT))
SAMPLES, PLACES, MOST_PLACES, MOST_JOBS = 2, 2, 4, 6
IMAGES_A_DAY = 5 * SAMPLES
"""Of tenant b, over accepts and resubmits."""
LEASES_UNTIL_ALL_HAVE_ENDED = 200
SHAPES = ["whole", "without its id", "without its track_id", "without addresses"]
CANNOT_KEEP_UP = "a message without a job"
"""The one rule of the audit that a deletion may break for a moment: its message is on its way."""

draws = st.integers(0, 10_000)


class Jobs(RuleBasedStateMachine):
    """A handful of jobs of two tenants on one key with few places, and a worker that takes their messages."""

    server: EmbeddedRedis
    folder: Path

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(self.server.url)
        start_over(self.redis)
        self.lane = Lane(connect(self.server.url, 5), 5)
        self.store = JobStore(self.lane, message_template(app), KEY_PREFIX, DURATIONS.work_lease)
        self.flow = FlowControl(self.lane, self.store)
        self.upstream = Upstream()
        ours = Settings(
            _env_file=None, redis_url=self.server.url, secret="a-secret-for-tests-0123456789", upstream_key="k"
        )
        closed: Any = None  # images, collecting, notifier, viewer: nothing of them is used here
        self.r = Resources(
            ours,
            self.lane,
            self.store,
            self.upstream,
            Cleaner(ours, tuple),
            closed,
            closed,
            closed,
            Accounts(ours),
            DURATIONS,
            Health(),
            closed,
        )
        (self.key,) = self.r.accounts.used
        self.audit = Audit(self.lane, self.store, LocalImages(self.folder))
        self.run(self.audit.images.save(IMAGE.key, CONTENT))
        self.configure()
        self.run(self.flow.limit_tenant("b", "images_day", IMAGES_A_DAY))
        self.jobs: dict[str, Job] = {}
        self.deleted: dict[str, Job] = {}
        self.allowed: dict[str, int] = {}
        """How often somebody has said that a job may be bought once more."""
        self.working: dict[str, asyncio.Task[None]] = {}
        """What a worker is at, by the track_id whose answer it waits for."""

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def configure(self) -> None:
        self.run(self.store.queue.configure([UpstreamLimit(self.key, PLACES)]))

    def teardown(self) -> None:
        if not hasattr(self, "lane"):
            return
        try:
            self.everything_ends()
            assert [each for each in leaks(self.redis) if not each.startswith(KEY)] == []
        finally:
            for task in self.working.values():
                task.cancel()
            self.run(asyncio.sleep(0))
            self.run(self.lane.aclose())
            self.redis.close()
            self.loop.close()

    # What the caller and the operator do

    @rule(tenant=st.sampled_from(["a", "b"]), policy=st.sampled_from(["hold", "resubmit", "fail"]))
    def accept(self, tenant: str, policy: Any) -> None:
        if len(self.jobs) >= MOST_JOBS:
            return
        now = self.store.now()
        order = Order(new_job_id(now), tenant, now, now + 3_600_000, {"samples": SAMPLES}, on_unknown=policy)
        verdict = self.run(self.store.accept([order], Allowance(100))).verdict
        assert verdict == "created" or (verdict == "budget" and tenant == "b")
        if verdict == "created":
            self.jobs[order.id] = self.loaded(order.id)
            self.allowed[order.id] = int(policy == "resubmit")

    @precondition(lambda self: self.jobs)
    @rule(at=draws)
    def cancel(self, at: int) -> None:
        self.run(record(self.r, self.one(at, self.jobs), decisions.cancelled))

    @precondition(lambda self: self.all_in(Status.UNKNOWN))
    @rule(at=draws, action=st.sampled_from(["resubmit", "fail"]))
    def resolve(self, at: int, action: Any) -> None:
        job_id = self.one(at, self.all_in(Status.UNKNOWN))
        self.allowed[job_id] += action == "resubmit"
        try:
            self.run(record(self.r, job_id, lambda job, now: decisions.resolved(job, action, now, DURATIONS)))
        except OverBudget:
            assert self.jobs[job_id].order.tenant == "b"

    @precondition(lambda self: self.all_in(*TERMINAL))
    @rule(at=draws)
    def delete(self, at: int) -> None:
        """By its caller, or because its retention is over."""
        job_id = self.one(at, self.all_in(*TERMINAL))
        self.deleted[job_id] = self.loaded(job_id)
        self.run(self.store.forget(self.deleted[job_id]))
        del self.jobs[job_id]

    @rule(
        act=st.sampled_from(["pause", "resume", "drain", "undrain", "hold a", "free a", "limit 1", "limit 4", "auto"])
    )
    def operate(self, act: str) -> None:
        acts = {
            "pause": lambda: self.flow.pause("test"),
            "resume": self.flow.resume,
            "drain": lambda: self.flow.drain(self.key, "test"),
            "undrain": lambda: self.flow.drain(self.key, None),
            "hold a": lambda: self.flow.pause_tenant("a", "test"),
            "free a": lambda: self.flow.pause_tenant("a", None),
            "limit 1": lambda: self.flow.limit_upstream(self.key, 1),
            "limit 4": lambda: self.flow.limit_upstream(self.key, MOST_PLACES),
            "auto": lambda: self.flow.limit_upstream(self.key, None),
        }
        held = self.redis.zcard(f"places:{self.key}")
        self.run(acts[act]())
        self.configure()
        if act in ("pause", "drain", "limit 1"):
            assert self.redis.zcard(f"places:{self.key}") <= max(held, 1), "handed out all the same"

    # What the worker does

    @precondition(lambda self: self.messages())
    @rule(at=draws)
    def work(self, at: int) -> None:
        """A worker takes a message, of any list."""
        self.take_message(self.messages()[at % len(self.messages())])

    @precondition(lambda self: self.jobs)
    @rule(at=draws)
    def work_for_nothing(self, at: int) -> None:
        """A message that was delivered twice."""
        self.do("submit", self.one(at, self.jobs))

    @rule()
    def lose_messages(self) -> None:
        for queue in ("submit", "settle", "collect"):
            self.redis.delete(f"{KEY_PREFIX}{queue}")

    @precondition(lambda self: self.collectable())
    @rule(at=draws, stored=st.integers(0, SAMPLES), outstanding=st.integers(0, SAMPLES))
    def collect(self, at: int, stored: int, outstanding: int) -> None:
        """Some images came, some did not; also two collectors that overlap."""
        images = tuple(Image(n, *list(IMAGE_FACTS)) for n in range(stored))
        self.collected(self.one(at, self.collectable()), images, outstanding)

    @precondition(lambda self: self.waiting_posts())
    @rule(at=draws)
    def crash(self, at: int) -> None:
        """The worker dies while its POST is on the wire."""
        post = self.waiting_posts()[at % len(self.waiting_posts())]
        post.answer.cancel()
        self.working.pop(post.track_id).cancel()
        self.run(asyncio.sleep(0))

    # What the upstream does

    @precondition(lambda self: self.waiting_posts())
    @rule(at=draws, fate=st.sampled_from(FATES))
    def answer(self, at: int, fate: Fate) -> None:
        post = self.waiting_posts()[at % len(self.waiting_posts())]
        if post.request_id and fate not in TAKING:
            return  # it took it already, and is honest
        if post.end and fate in ("success", "failed", "processing") and fate != post.end:
            return
        self.upstream.answer(post, fate)
        self.finish(self.working.pop(post.track_id))

    @precondition(lambda self: self.upstream.posts)
    @rule(at=draws)
    def take(self, at: int) -> None:
        """It takes what has come, whoever still listens."""
        post = list(self.upstream.posts.values())[at % len(self.upstream.posts)]
        if post.is_open or post.answer.cancelled():
            self.upstream.take(post)

    @precondition(lambda self: self.at_work_upstream())
    @rule(at=draws, end=st.sampled_from(["success", "failed"]))
    def end(self, at: int, end: Any) -> None:
        self.at_work_upstream()[at % len(self.at_work_upstream())].end = end

    @precondition(lambda self: self.upstream.bill())
    @rule(at=draws, shape=st.sampled_from(SHAPES))
    def call_back(self, at: int, shape: str) -> None:
        """For whatever it has, as often as it likes, also for a job that is gone."""
        post = self.upstream.bill()[at % len(self.upstream.bill())]
        self.called_back(post, self.upstream.callback(post, shape))

    @precondition(lambda self: self.upstream.bill())
    @rule(at=draws)
    def contradict(self, at: int) -> None:
        """A callback with our token and somebody else's track_id."""
        post = self.upstream.bill()[at % len(self.upstream.bill())]
        before = self.jobs.get(post.job_id)
        self.called_back(post, self.upstream.callback(post, "of another"))
        if before and not self.redis.llen(f"inbox:{post.job_id}") > 20:
            assert "https://cdn/foreign.png" not in self.loaded(post.job_id).links

    @rule(says=st.sampled_from(["truth", "away", "not found", "somebody else's"]))
    def tell_from_now_on(self, says: Says) -> None:
        self.upstream.says = says

    # What time does

    @rule(ms=st.sampled_from([1000, 30_000, 90_000, 400_000, 4_000_000]))
    def time_passes(self, ms: int) -> None:
        skip(self.redis, ms)
        self.beat()

    def beat(self) -> None:
        """One round of the clocks of a worker, and of all messages but those that buy."""
        self.run(self.store.load("none"))  # the lane learns of the skip as it does of any clock
        self.run(self.store.queue.tick())
        self.run(end_overdue(self.r))
        self.configure()
        for message in self.messages():
            if message[0] != "submit":
                self.take_message(message)

    def everything_ends(self) -> None:
        """Every accepted job ends, whatever has happened, without any callback having to come."""
        self.run(self.flow.resume())
        for track_id in list(self.working):
            self.working.pop(track_id).cancel()
        for _ in range(LEASES_UNTIL_ALL_HAVE_ENDED):
            if not self.all_in(*OPEN):
                break
            skip(self.redis, DURATIONS.work_lease)
            self.beat()
            self.note_changes()
        assert not self.all_in(*OPEN), "a job has not ended"
        self.the_audit_finds_nothing()

    # The engine, driven one step at a time

    def messages(self) -> list[tuple[str, str, str, bytes]]:
        """(queue, task, id, message), oldest first, of all lists but that of the deliveries."""
        found = []
        for queue in ("submit", "settle", "collect"):
            for message in reversed(self.redis.lrange(f"{KEY_PREFIX}{queue}", 0, -1)):
                read = json.loads(message)
                task = read["headers"]["task"].removeprefix("darkroom.")
                found.append((queue, task, json.loads(read["body"])[0][0], message))
        return found

    def take_message(self, message: tuple[str, str, str, bytes]) -> None:
        queue, task, job_id, body = message
        if self.redis.lrem(f"{KEY_PREFIX}{queue}", -1, body):
            self.do(task, job_id)

    def do(self, task: str, job_id: str) -> None:
        """What worker/tasks.py does for it, until it ends or waits for the upstream's answer."""
        if task == "collect":
            task = "settle"  # what it does first; the images themselves are drawn: see collect()
        before = self.loaded(job_id)
        known_taken = before and any(each.status in ("processing", "succeeded") for each in before.attempts)
        self.upstream.arrived.clear()
        doing = self.loop.create_task(getattr(lifecycle, task)(self.r, job_id))
        arrived = self.loop.create_task(self.upstream.arrived.wait())
        self.run(asyncio.wait([doing, arrived], return_when=asyncio.FIRST_COMPLETED))
        arrived.cancel()
        if not doing.done():
            post = list(self.upstream.posts.values())[-1]
            assert not known_taken, "bought while an earlier attempt is known to be taken"
            self.working[post.track_id] = doing
        else:
            self.finish(doing)

    def finish(self, task: "asyncio.Task[None]") -> None:
        with suppress(JobGone):  # its message is parked: worker/tasks.py
            self.run(task)

    def called_back(self, post: Post, body: bytes) -> None:
        kept = self.run(self.store.inbox.keep(post.job_id, post.number, body))
        assert (kept in ("orphan", "gone")) is (post.job_id not in self.jobs)

    def collected(self, job_id: str, images: tuple[Image, ...], outstanding: int) -> None:
        self.run(record(self.r, job_id, lambda job, now: decisions.collected(job, images, outstanding, now, DURATIONS)))

    # What there is to draw from

    def one(self, at: int, among: Any) -> str:
        names = sorted(among)
        return str(names[at % len(names)])

    def loaded(self, job_id: str) -> Any:
        found = self.run(self.store.load(job_id))
        return found and found.job

    def all_in(self, *statuses: Status) -> list[str]:
        return [job_id for job_id in self.jobs if self.redis.hget(f"job:{job_id}", "status").decode() in statuses]

    def collectable(self) -> list[str]:
        return [each for each in self.jobs if lifecycle._collectable(self.loaded(each))]

    def waiting_posts(self) -> list[Post]:
        return [post for post in self.upstream.posts.values() if post.track_id in self.working]

    def at_work_upstream(self) -> list[Post]:
        return [post for post in self.upstream.bill() if post.end is None]

    # What must hold after every event

    @invariant()
    def only_documented_changes(self) -> None:
        if hasattr(self, "redis"):
            self.note_changes()

    def note_changes(self) -> None:
        for job_id, before in self.jobs.items():
            after = self.loaded(job_id)
            assert after.version >= before.version
            if before.status in TERMINAL and after.status is not before.status:
                assert before.accepts_late_result
                assert (after.status, after.late) == (Status.SUCCEEDED, True)
            if before.completed_via:
                assert after.completed_via == before.completed_via, "a second result won"
            for row in decode_timeline(self.redis.hget(f"job:{job_id}", "timeline")):
                assert row["to"] in TRANSITIONS[row["from"] and Status(row["from"])]
            self.jobs[job_id] = after

    @invariant()
    def nothing_is_bought_twice_without_a_word(self) -> None:
        if not hasattr(self, "redis"):
            return
        for job_id, allowed in self.allowed.items():
            assert len(self.upstream.bill(job_id)) <= 1 + allowed, "bought twice"

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        """Places and records, due times, counters, backlogs, request ids, names of jobs that are gone."""
        if not hasattr(self, "redis"):
            return
        found = [(each.rule, each.subject) for each in self.run(self.audit._look())]
        assert [each for each in found if each[0] != CANNOT_KEEP_UP] == []

    @invariant()
    def the_budget_is_exact(self) -> None:
        """What is booked is what all jobs cost, those that were deleted included; and no more than may be bought."""
        if not hasattr(self, "redis"):
            return
        for tenant in ("a", "b"):
            every = [*self.jobs.values(), *self.deleted.values()]
            costs = [cost_of(job) for job in every if job.order.tenant == tenant]
            days = [self.redis.hmget(key, "open", "spent") for key in self.redis.keys(f"usage:{tenant}:*")]
            booked = Cost(*(sum(int(day[n] or 0) for day in days) for n in (0, 1)))
            assert booked == Cost(sum(each.open for each in costs), sum(each.spent for each in costs))
            if tenant == "b":
                assert all(int(day[0] or 0) + int(day[1] or 0) <= IMAGES_A_DAY for day in days)

    @invariant()
    def whoever_waits_stands_in_line(self) -> None:
        if not hasattr(self, "redis"):
            return
        paused = self.redis.hexists("tenant:a", "paused")
        waiting = {each for each in ("a", "b") if self.redis.zcard(f"backlog:{each}") and not (each == "a" and paused)}
        assert {each.decode() for each in self.redis.zrange("fair", 0, -1)} == waiting
        assert self.redis.zcard(f"places:{self.key}") <= MOST_PLACES

    @invariant()
    def a_deleted_job_has_left_nothing(self) -> None:
        """But for messages on their way, a place that the upstream may still fill, and a mark that it is gone."""
        if not hasattr(self, "redis") or not self.deleted:
            return
        kept = [key + text for key, text in self.everything_kept() if not key.startswith(("places:", "removed"))]
        named = {job_id for text in kept for job_id in self.deleted if job_id in text}
        assert named == set()

    def everything_kept(self) -> list[tuple[str, str]]:
        """(name, content as text) of every key but Celery's lists."""
        read = {
            b"hash": self.redis.hgetall,
            b"string": self.redis.get,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"set": self.redis.smembers,
            b"zset": lambda key: self.redis.zrange(key, 0, -1),
        }
        keys = [key for key in self.redis.keys("*") if not key.startswith(KEY_PREFIX.encode())]
        return [(key.decode(), str(read[self.redis.type(key)](key))) for key in keys]


IMAGE_FACTS = (IMAGE.key, IMAGE.sha256, IMAGE.width, IMAGE.height, IMAGE.format, IMAGE.bytes)


@pytest.mark.timeout(1200)
def test_every_sequence_of_events_keeps_the_promises(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """Terminal changes only by the documented adoption, one result wins, the books balance, everything ends."""
    Jobs.server, Jobs.folder = redis_server, tmp_path
    case = Jobs.TestCase
    shrinks = EXAMPLES > USUAL_EXAMPLES
    case.settings = settings(
        derandomize=EXAMPLES < USUAL_EXAMPLES,
        phases=[each for each in Phase if shrinks or each is not Phase.shrink],
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with skippable_clock():
        case().runTest()
    with Redis.from_url(redis_server.url) as redis:
        start_over(redis)
