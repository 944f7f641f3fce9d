"""Task events for Flower: each event once, all events of a quarter of a second in one message.

Celery 5.6 batches them as well, but only for one turn of its loop, and it loses events that another thread adds while
it sends. Here all events come from Celery's own thread (celery_pool.py), and the last ones are sent when the worker
stops.
"""

from typing import Any, ClassVar

from celery import bootsteps
from celery.worker.request import Request

TOGETHER_SECONDS = 0.25
MOST_TOGETHER = 500


class TaskEvents(bootsteps.StartStopStep):
    """One per worker; Celery starts it again, with a new dispatcher, after every reconnect. See the module."""

    requires = ("celery.worker.consumer.events:Events",)  # type: ignore[assignment]
    dispatcher: ClassVar[Any] = None
    _hub: Any = None
    _booked = False

    def start(self, parent: Any) -> None:
        """Called before the first task."""
        TaskEvents.dispatcher = dispatcher = parent.event_dispatcher
        self._booked = False
        if dispatcher:
            dispatcher.buffer_limit = MOST_TOGETHER
            dispatcher.on_send_buffered = self._book

    def register_with_event_loop(self, _parent: Any, hub: Any) -> None:
        """Keeps Celery's event loop, which has the timers."""
        self._hub = hub

    def _book(self) -> None:
        if not self._booked and self._hub is not None:
            self._booked = True
            self._hub.call_later(TOGETHER_SECONDS, self._send)

    def _send(self) -> None:
        self._booked = False
        # events that cannot be sent without a connection are kept; Celery sends them after the reconnect
        self.dispatcher.flush(errors=False)

    def stop(self, parent: Any) -> None:
        """The connection is gone, or the worker ends: from now on events do not wait for Celery's loop."""
        if parent.event_dispatcher:
            parent.event_dispatcher.flush(errors=False)
            parent.event_dispatcher.buffer_group = frozenset()


class WakeUp(Request):
    """A task's request: its events use the connection that exists when the task ends, not the one it came by."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        dispatcher = TaskEvents.dispatcher
        if dispatcher and dispatcher.enabled and self.task.send_events:
            dispatcher.send(type, uuid=self.id, **fields)
