"""Polling: asks the upstream about a request, with an account of the right server, by an id that only we have.

Request ids are the upstream's, and are valid on one server only. On another server, or by an id that the upstream gave
to two requests, the answer would be somebody else's image. So then Darkroom does not ask, and waits for the callback.
The same holds if no request id is known: the provider cannot be asked by our own id (`finds_by_our_id` in provider.py).
"""

from dataclasses import dataclass

import structlog

from worker.job.answer import Answer
from worker.job.record import Attempt, Job, Status
from worker.resources import Resources
from worker.upstream.client import FETCH_SECONDS
from worker.upstream.errors import UpstreamError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer of fetch, and the cause for the record. Without an answer the cause says why."""

    answer: Answer | None
    cause: str = "poll"


async def ask(r: Resources, attempt: Attempt, request_id: str, seconds: float = FETCH_SECONDS) -> Asked:
    """What the upstream says about that request now. Raises RedisUnavailable; repeating it is harmless."""
    upstream = r.accounts.account_to_ask(attempt.upstream, attempt.server)
    if upstream is None:
        log.warning("upstream.key_unknown", track_id=attempt.track_id, key=attempt.upstream)
        return Asked(None, "key_unknown")
    if attempt.server and not await r.store.owns_request(attempt, request_id):
        log.warning("upstream.shared_id", track_id=attempt.track_id)
        return Asked(None, "shared_id")
    try:
        return Asked(await r.client.fetch(upstream, request_id, seconds, track_id=attempt.track_id))
    except UpstreamError as error:
        log.warning("fetch.failed", track_id=attempt.track_id, reason=type(error).__name__)
        return Asked(None)


def askable(job: Job) -> Attempt | None:
    """The attempt to poll: the newest one with a known request id and without an end; None if there is none."""
    open_ends = (Status.PROCESSING, Status.UNKNOWN)
    if job.status not in open_ends and not (job.accepts_late_result and job.completed_via is None):
        return None
    unended = (each for each in reversed(job.attempts) if each.request_id and each.status in ("processing", "unknown"))
    return next(unended, None)


def is_end(answer: Answer | None) -> bool:
    """Whether the answer says how the request ended. "Request not found" (a failure without an id) does not."""
    return answer is not None and (answer.kind == "success" or bool(answer.kind == "failed" and answer.request_id))
