"""Random sequences of everything that can happen to a job, over the real scripts: the promises hold in any order."""

import asyncio

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from config.embedded import EmbeddedRedis
from worker import decisions
from worker.admission import Allowance
from worker.app import app
from worker.flow import FlowControl
from worker.job import TERMINAL, TRANSITIONS, Image, Job, Order, Status, new_job_id
from worker.lane import Lane, connect
from worker.ledger import cost_of
from worker.messages import message_template
from worker.step import Step
from worker.store import JobStore, UpstreamLimit
from worker.timing import Limits
from worker.upstream.outcome import NotTaken, Open, Reason, Taken
from worker.upstream.wire import Answer

LIMITS = Limits(80_000, 60_000, 300_000)
IMAGE = Image(0, "a/b.png", "ab" * 32, 64, 64, "PNG", 100)
PLACES, MOST_PLACES = 2, 4
OUTCOMES = [
    Taken(Answer("success", request_id="1", links=("https://cdn/a.png",))),
    Taken(Answer("processing", request_id="1", eta_seconds=2)),
    Taken(Answer("processing")),
    Taken(Answer("failed", request_id="1", message="no")),
    NotTaken(Reason.BUSY, "full", 1),
    NotTaken(Reason.UNREACHABLE),
    NotTaken(Reason.REJECTED, "bad"),
    Open("read_timeout"),
    Open("lease_over"),
]
ANSWERS = [
    Answer("success", request_id="1", links=("https://cdn/a.png",)),
    Answer("success", request_id="2", links=("https://cdn/b.png",)),
    Answer("success"),
    Answer("failed", request_id="1", message="no"),
    Answer("processing"),
]


class Jobs(RuleBasedStateMachine):
    """A handful of jobs of two tenants on one key with two places."""

    server: EmbeddedRedis

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(self.server.url)
        self.redis.flushall()
        self.lane = Lane(connect(self.server.url, 5), 5)
        self.store = JobStore(self.lane, message_template(app), "celery:", 60_000)
        self.run(self.store.configure([UpstreamLimit("key-1", PLACES)]))
        self.flow = FlowControl(self.lane, self.store)
        self.seen: dict[str, Job] = {}
        self.posted: dict[str, set[int]] = {}
        self.skipped_ms = 0

    def run(self, coroutine):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        if hasattr(self, "lane"):
            self.run(self.lane.aclose())
            self.redis.close()
            self.loop.close()

    def chosen(self, at: int) -> str:
        return sorted(self.seen)[at % len(self.seen)]

    def apply(self, job_id: str, decide) -> Step | None:  # type: ignore[no-untyped-def]
        """As the engine does, but for a clock that can be skipped ahead; checks what each write may change."""
        loaded = self.run(self.store.load(job_id))
        step: Step | None = decide(loaded.job, loaded.now + self.skipped_ms)
        if step is None:
            return None
        assert step.job.version == loaded.job.version + 1
        assert self.run(self.store.advance(loaded, step))
        assert not self.run(self.store.advance(loaded, step)), "the same step was applied twice"
        self.check(loaded.job, self.run(self.store.load(job_id)).job)
        return step

    def check(self, before: Job, after: Job) -> None:
        assert after.status is before.status or after.status in TRANSITIONS[before.status]
        if before.status in TERMINAL and after.status is not before.status:
            assert before.accepts_late_result
            assert (after.status, after.late) == (Status.SUCCEEDED, True)
        if before.completed_via:
            assert after.completed_via == before.completed_via, "a second result won"
        self.seen[after.id] = after

    @rule(tenant=st.sampled_from(["a", "b"]), policy=st.sampled_from(["hold", "resubmit", "fail"]))
    def accept(self, tenant: str, policy: str) -> None:
        if len(self.seen) >= 6:
            return
        now = self.store.now() + self.skipped_ms
        order = Order(new_job_id(now), tenant, now, now + 3_600_000, {"samples": 2}, on_unknown=policy)  # type: ignore[arg-type]
        assert self.run(self.store.accept([order], Allowance(100))).verdict == "created"
        self.seen[order.id] = self.run(self.store.load(order.id)).job

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20))
    def submit(self, at: int) -> None:
        job_id = self.chosen(at)
        if self.run(self.store.load(job_id)).job.place is None:
            return
        step = self.apply(job_id, lambda job, now: decisions.claim(job, "key-1", now, LIMITS))
        if step and step.job.status is Status.SUBMITTING and step.job.attempt:
            posted = self.posted.setdefault(job_id, set())
            assert step.job.attempt.number not in posted, "an attempt was posted twice"
            posted.add(step.job.attempt.number)

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20), number=st.integers(1, 3), outcome=st.sampled_from(OUTCOMES))
    def answer(self, at: int, number: int, outcome) -> None:  # type: ignore[no-untyped-def]
        self.apply(self.chosen(at), lambda job, now: decisions.answered(job, number, outcome, now, LIMITS))

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20), number=st.integers(1, 3), answer=st.sampled_from(ANSWERS))
    def callback(self, at: int, number: int, answer: Answer) -> None:
        self.apply(self.chosen(at), lambda job, now: decisions.called_back(job, number, answer, now, LIMITS))

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20), number=st.integers(1, 3), answer=st.sampled_from([*ANSWERS, None]))
    def poll(self, at: int, number: int, answer: Answer | None) -> None:
        self.apply(self.chosen(at), lambda job, now: decisions.polled(job, number, answer, now, LIMITS))

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20), outstanding=st.sampled_from([0, 1]), images=st.sampled_from([(), (IMAGE,)]))
    def collect(self, at: int, outstanding: int, images: tuple[Image, ...]) -> None:
        self.apply(self.chosen(at), lambda job, now: decisions.collected(job, images, outstanding, now, LIMITS))

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20))
    def cancel(self, at: int) -> None:
        self.apply(self.chosen(at), decisions.cancelled)

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20), action=st.sampled_from(["resubmit", "fail"]))
    def resolve(self, at: int, action) -> None:  # type: ignore[no-untyped-def]
        self.apply(self.chosen(at), lambda job, now: decisions.resolved(job, action, now, LIMITS))

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, 20))
    def hand_back(self, at: int) -> None:
        self.apply(self.chosen(at), lambda job, now: decisions.handed_back(job, "store_away", now))

    @rule(
        act=st.sampled_from(["pause", "resume", "drain", "undrain", "hold a", "free a", "limit 1", "limit 4", "auto"])
    )
    def operate(self, act: str) -> None:
        """An operator's verbs, between any two events."""
        acts = {
            "pause": lambda: self.flow.pause("test"),
            "resume": self.flow.resume,
            "drain": lambda: self.flow.drain("key-1", "test"),
            "undrain": lambda: self.flow.drain("key-1", None),
            "hold a": lambda: self.flow.pause_tenant("a", "test"),
            "free a": lambda: self.flow.pause_tenant("a", None),
            "limit 1": lambda: self.flow.limit_upstream("key-1", 1),
            "limit 4": lambda: self.flow.limit_upstream("key-1", MOST_PLACES),
            "auto": lambda: self.flow.limit_upstream("key-1", None),
        }
        held = self.redis.zcard("places:key-1")
        self.run(acts[act]())
        self.run(self.store.configure([UpstreamLimit("key-1", PLACES)]))
        if act in ("pause", "drain", "limit 1"):
            assert self.redis.zcard("places:key-1") <= max(held, 1), "handed out all the same"

    @invariant()
    def whoever_waits_stands_in_line(self) -> None:
        if not hasattr(self, "redis"):
            return
        paused = self.redis.hexists("tenant:a", "paused")
        waiting = {each for each in ("a", "b") if self.redis.zcard(f"backlog:{each}") and not (each == "a" and paused)}
        assert {each.decode() for each in self.redis.zrange("fair", 0, -1)} == waiting

    @rule(ms=st.sampled_from([1000, 90_000, 400_000, 4_000_000]))
    def time_passes(self, ms: int) -> None:
        """Somebody looks at every job, as the due times see to it."""
        self.skipped_ms += ms
        for job_id in self.seen:
            while self.apply(job_id, lambda job, now: decisions.woken(job, now, LIMITS)):
                pass
        self.run(self.store.tick())

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "redis"):
            return
        jobs = [self.run(self.store.load(job_id)).job for job_id in self.seen]
        for status in Status:
            assert int(self.redis.hget("counts", status) or 0) == sum(job.status is status for job in jobs)
        waiting = sum(self.redis.zcard(f"backlog:{tenant}") for tenant in ("a", "b"))
        assert int(self.redis.get("waiting") or 0) == waiting
        assert {name.decode(): int(size) for name, size in self.redis.hgetall("backlogs").items()} == {
            tenant: size for tenant in ("a", "b") if (size := self.redis.zcard(f"backlog:{tenant}"))
        }
        for tenant in ("a", "b"):
            costs = [cost_of(job) for job in jobs if job.order.tenant == tenant]
            usage = [self.redis.hgetall(key) for key in self.redis.keys(f"usage:{tenant}:*")]
            for field in ("open", "spent"):
                booked = sum(int(each.get(field.encode(), 0)) for each in usage)
                assert booked == sum(getattr(cost, field) for cost in costs), "the budget does not balance"
        queued = [job for job in jobs if job.status is Status.QUEUED]
        assert waiting == sum(job.place is None for job in queued), "a queued job stands nowhere, or twice"
        assert self.redis.zcard("places:key-1") <= MOST_PLACES
        for job in jobs:
            if job.status not in TERMINAL:
                assert self.redis.zscore("due", job.id) is not None, "nobody will look at it"
            if job.status in (Status.SUCCEEDED, Status.FAILED, Status.EXPIRED):
                assert self.redis.zscore("places:key-1", job.id) is None, "a finished job holds a place"

    @invariant()
    def nothing_is_bought_twice_without_a_word(self) -> None:
        for job in self.seen.values():
            open_or_taken = [each for each in job.attempts if each.possibly_charged]
            assert len(open_or_taken) <= 1 or job.resubmitted


def test_every_sequence_of_events_keeps_the_promises(redis_server: EmbeddedRedis) -> None:
    """Terminal changes only by the documented adoption, the version only grows, one result wins, the books balance."""
    Jobs.server = redis_server
    case = Jobs.TestCase
    case.settings = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
