"""The shapes of a webhook delivery: what a caller is told when its job has ended, by the name that the order carries.

A new shape is a function here and its row in SHAPES; the endpoint that accepts such jobs names it (api/intake/).
"""

from collections.abc import Callable
from typing import Any

from worker.job.record import Job, Milliseconds
from worker.shown.compatible import callback_shape
from worker.shown.job import Viewer, job_view
from worker.store.standing import Standing

Shape = Callable[[Job, bytes, Viewer, Milliseconds, Standing | None], dict[str, Any]]
"""The body, as JSON: from the record, its timeline, how this installation shows jobs, the time, where it stands."""


def _upstream(
    job: Job, _timeline: bytes, viewer: Viewer, now: Milliseconds, _standing: Standing | None
) -> dict[str, Any]:
    """The upstream's own callback, for clients that know nothing of Darkroom."""
    return callback_shape(job, viewer, now)


SHAPES: dict[str, Shape] = {
    "job": job_view,
    "upstream": _upstream,
}
