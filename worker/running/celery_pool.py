"""A Celery pool for tasks that only wait: each task is a coroutine on the event loop of the process, without a thread.

Celery's own thread pool would need a thread for each POST in flight: two thousand, where a container may have only a
thousand. Celery runs on the main thread, and is told there what its own pools tell it: accepted, succeeded, failed. So
Flower and `celery inspect` show the same as always, and only one thread touches Celery's state.

The features of Celery's tracer (results, chains, retries, time limits, signals around a task) do not exist here. Our
tasks need none of them: the record is the result, and its due time is the retry.
"""

import os
import sys
import time
from collections.abc import Callable
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery import bootsteps
from celery.concurrency.base import BasePool
from kombu.serialization import loads

from worker.running.process import Process

log = structlog.get_logger()

Result = tuple[int, Any, float]
"""(1 if it failed else 0, the ExceptionInfo or the result as text, seconds that it took)."""
Tell = Callable[[Result], None]


class TaskFailed(Exception):
    """A task ended in a bug. Holds only the class of the error, because its text may hold what a caller wrote."""


class CoroutinePool(BasePool):
    """At most `limit` tasks at once; everything but the coroutines runs on Celery's thread. See the module."""

    signal_safe = False  # stopping waits, and a signal handler must not

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._running = 0
        Process.check.tasks.limit = self.limit or 1
        self._ended: SimpleQueue[tuple[Tell, Result]] = SimpleQueue()
        self._wake: Callable[[Callable[[], None]], object] = _nobody_to_wake

    def register_with_event_loop(self, loop: Any) -> None:
        """Celery calls it with its event loop, and again after every reconnect."""
        self._wake = loop.call_soon

    def has_room(self) -> bool:
        """Whether another task may be taken from the queue."""
        return bool(self._running < self.limit)

    def on_apply(
        self, _trace: Any, args: tuple[Any, ...], _kwargs: Any, *, accept_callback: Any, callback: Tell, **_: Any
    ) -> None:
        """Starts a task. After a crash from here on the job's due time brings it back."""
        name, _id, _request, body, content_type, encoding = args
        accept_callback(os.getpid(), time.monotonic())
        self._running += 1
        Process.check.tasks.begin()
        Process.loop.begin(self._run(name, (body, content_type, encoding), callback))

    async def _run(self, name: str, message: tuple[Any, Any, Any], tell: Tell) -> None:
        began = time.monotonic()
        failure = await _failure_of(self.app.tasks[name], message)
        result = (1, failure) if failure else (0, "None")
        Process.check.tasks.end()
        self._ended.put((tell, (*result, time.monotonic() - began)))
        self._wake(self._tell_ended)

    def _tell_ended(self) -> None:
        while True:
            try:
                self._tell(*self._ended.get_nowait())
            except Empty:
                return

    def _tell(self, tell: Tell, result: Result) -> None:
        self._running -= 1
        try:
            tell(result)
        except Exception as error:
            log.exception("task.not_told", kind=type(error).__name__)

    def on_stop(self) -> None:
        """Waits for running tasks: a POST that was sent is paid for, so its answer must be recorded."""
        while self._running:
            self._tell(*self._ended.get())

    on_terminate = on_stop

    def _get_info(self) -> dict[str, Any]:
        return super()._get_info() | {"running": self._running}


class TakeWhatFits(bootsteps.StartStopStep):
    """Takes a message only while there is room for it, so that the length of the queue is the true backlog.

    A task that ends wakes Celery's loop, which looks again, so a worker that was full takes its next message at once.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)  # type: ignore[assignment]

    def start(self, parent: Any) -> None:
        """Celery calls it again after every reconnect; tasks that were started before still count."""
        parent.task_consumer.channel.qos.can_consume = parent.pool.has_room


class ForgetUnacknowledged(bootsteps.StartStopStep):
    """Removes an older version's notes of messages that it had taken; their jobs are woken by their due times."""

    requires = ("celery.worker.consumer.tasks:Tasks",)  # type: ignore[assignment]

    def start(self, parent: Any) -> None:
        """At each connection: it costs one command, and a worker of the older version may still run beside this one."""
        channel = parent.task_consumer.channel
        with channel.conn_or_acquire() as redis:
            redis.delete(channel.unacked_key, channel.unacked_index_key)


async def _failure_of(task: Any, message: tuple[Any, Any, Any]) -> ExceptionInfo | None:
    """Runs a task. Returns its error as Celery's pools report it, or None."""
    try:
        arguments, keywords, _ = loads(*message, accept={"application/json"})
        result = task.run(*arguments, **keywords)
        if isawaitable(result):
            await result
    except Exception:  # noqa: BLE001 - Celery is told of it
        return ExceptionInfo()
    except BaseException:  # noqa: BLE001 - it would end the loop, and every other task with it
        kind, _, traceback = sys.exc_info()  # as another kind: Celery would take a task's SystemExit for its own
        return ExceptionInfo((TaskFailed, TaskFailed(kind.__name__ if kind else ""), traceback))
    return None


def _nobody_to_wake(_: Callable[[], None]) -> None:
    """Used until Celery's loop runs; before that no task is taken."""
