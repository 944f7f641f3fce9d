"""The self-check of a worker process: a thread that sees when the process stands still, and ends it.

Celery has the main thread, everything else an event loop. Each can hang where no signal reaches it: Celery tries for
ever to publish an event while Redis is away, and looks at SIGTERM only between two messages. So a thread of its own
watches both, and the parent process as well. The parent starts again what has ended, and jobs are found by their due
times. Tasks in flight are waited for, because a POST that was sent is paid for: they run on the event loop, which
records their answers without Celery.
"""

import os
import signal
import threading
import time

import structlog

from worker.health import Health
from worker.running.loop import LoopThread
from worker.running.standing import ENDS_AT_ONCE, Limits, Standing, Verdict, judge
from worker.store.celery_transport import Watch

log = structlog.get_logger()

LOOK_SECONDS = 0.5
ASLEEP_SECONDS = 3.0
"""Longer between two looks means that the whole process, or the machine, was stopped."""
ENDED_ITSELF = 3


class Tasks:
    """Counts the tasks of this process: they begin on Celery's thread, and end on the loop's."""

    def __init__(self) -> None:
        self.limit = 1
        self._begun = self._ended = 0
        self._changed_at = time.monotonic()

    def begin(self) -> None:
        """A task begins."""
        self._begun, self._changed_at = self._begun + 1, time.monotonic()

    def end(self) -> None:
        """A task has ended, and what it had to record is recorded."""
        self._ended, self._changed_at = self._ended + 1, time.monotonic()

    def idle(self, now: float) -> float:
        """For how long none has been in flight (s)."""
        return now - self._changed_at if self._begun == self._ended else 0.0

    def full(self, now: float) -> float:
        """For how long none has begun or ended, if there is room for none (s)."""
        return now - self._changed_at if self._begun - self._ended >= self.limit else 0.0


class SelfCheck:
    """Begins before Celery and the loop are there. `parent`: process id of the parent."""

    def __init__(self, parent: int, limits: Limits) -> None:
        self._parent, self._limits, self.tasks = parent, limits, Tasks()
        self._loop: LoopThread | None = None
        self._health: Health | None = None
        self._stopping_since: float | None = None
        self._awake_since = self._looked_at = self._had_no_room_at = time.monotonic()

    def start(self) -> None:
        """Looks from now on, on its own thread."""
        threading.Thread(target=self._watch, name="self-check", daemon=True).start()

    def watch(self, loop: LoopThread, health: Health) -> None:
        """The loop is there, and what it learns of Redis."""
        self._loop, self._health = loop, health

    def note_stopping(self) -> None:
        """The process was told to stop."""
        self._stopping_since = self._stopping_since or time.monotonic()

    def takes_messages(self) -> bool:
        """Whether the consumer is at work; for the heartbeat."""
        return self._seen(time.monotonic()).takes_messages

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            if now - self._looked_at > ASLEEP_SECONDS:
                self._awake_since = now
            self._looked_at = now
            self._act(judge(self._seen(now), self._limits))
            if self._loop:
                self._loop.ask_to_turn()

    def _seen(self, now: float) -> Standing:
        full = self.tasks.full(now)
        if full:
            self._had_no_room_at = now
        awake, health = now - self._awake_since, self._health
        return Standing(
            stopping=None if self._stopping_since is None else min(awake, now - self._stopping_since),
            idle=min(awake, self.tasks.idle(now)),
            orphaned=os.getppid() != self._parent,
            loop_silent=min(awake, now - self._loop.turned_at) if self._loop else 0.0,
            consumer_silent=min(awake, now - max(Watch.looked_at, self._had_no_room_at)),
            full=min(awake, full),
            redis_answers=now - health.redis_answers_since if health and health.redis_answers_since else 0.0,
        )

    def _act(self, verdict: Verdict) -> None:
        if verdict is Verdict.WELL:
            return
        log.error("worker.stands_still", reason=verdict.value)
        if verdict in ENDS_AT_ONCE:
            os._exit(ENDED_ITSELF)
        self.note_stopping()  # here as well: a signal is noticed only where somebody looks for it
        os.kill(os.getpid(), signal.SIGTERM)
