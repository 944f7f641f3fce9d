"""What Flower hears of tasks: each event once, a quarter of a second's together in one message.

Celery 5.6 keeps them together by itself, but only for one turn of its loop, and loses what another thread adds while it
sends. Here all of them come from Celery's own thread (celery_pool.py), and the last ones leave when it stops.
"""

from typing import Any, ClassVar

from celery import bootsteps
from celery.worker.request import Request

TOGETHER_SECONDS = 0.25
MOST_TOGETHER = 500


class TaskEvents(bootsteps.StartStopStep):
    """See the module. One per worker; Celery starts it again, with a new dispatcher, after it has connected again."""

    requires = ("celery.worker.consumer.events:Events",)  # type: ignore[assignment]
    dispatcher: ClassVar[Any] = None
    _hub: Any = None
    _booked = False

    def start(self, parent: Any) -> None:
        """Before the first task."""
        TaskEvents.dispatcher = dispatcher = parent.event_dispatcher
        self._booked = False
        if dispatcher:
            dispatcher.buffer_limit = MOST_TOGETHER
            dispatcher.on_send_buffered = self._book

    def register_with_event_loop(self, _parent: Any, hub: Any) -> None:
        """Celery's loop, which has the timers."""
        self._hub = hub

    def _book(self) -> None:
        if not self._booked and self._hub is not None:
            self._booked = True
            self._hub.call_later(TOGETHER_SECONDS, self._send)

    def _send(self) -> None:
        self._booked = False
        # what could not be sent for want of a connection is kept, and sent by Celery once there is one
        self.dispatcher.flush(errors=False)

    def stop(self, parent: Any) -> None:
        """The connection is gone, or the worker ends: what comes from now on does not wait for Celery's loop."""
        if parent.event_dispatcher:
            parent.event_dispatcher.flush(errors=False)
            parent.event_dispatcher.buffer_group = frozenset()


class WakeUp(Request):
    """A task on its way: what it has to tell goes out by the connection there is when it ends, not when it came."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        dispatcher = TaskEvents.dispatcher
        if dispatcher and dispatcher.enabled and self.task.send_events:
            dispatcher.send(type, uuid=self.id, **fields)
