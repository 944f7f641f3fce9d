"""The story of a job: submit, hear back or ask, collect, rescue. Plain functions over the process's resources.

Each reads the record, asks decisions.py what follows, applies it by compare-and-set and acts. A lost race reads again.
Whatever was learned from the outside (an answer, a picture) is recorded before the function returns, however long
Redis is away; whatever was not recorded is found again by its due time.
"""

import asyncio
import secrets
from collections.abc import Callable

import structlog

from worker import decisions
from worker.admission import OverBudget
from worker.compatible import callback_shape
from worker.images.collect import at_work, collect_pictures
from worker.job import Attempt, Job, Milliseconds, Status
from worker.lane import Unavailable
from worker.recovery import Point, reached
from worker.resources import Resources
from worker.signing import callback_token
from worker.step import Step
from worker.store import Loaded
from worker.telling import Target
from worker.timing import next_look
from worker.upstream.errors import UpstreamError
from worker.upstream.outcome import Outcome, Taken
from worker.upstream.pool import UpstreamKey
from worker.upstream.wire import Answer, fetch_body, parse_answer, submit_body
from worker.view import job_view

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 2.0
ASK_ANEW_EVERY = 4
"""After so many fruitless collections the addresses themselves are asked for again."""

Decide = Callable[[Job, Milliseconds], Step | None]


async def submit(r: Resources, job_id: str) -> None:
    """Buys the pictures once: intent on disk, then one POST, then its outcome on disk."""
    loaded = await _current(r, job_id)
    if loaded is None or loaded.job.status is not Status.QUEUED or loaded.job.place is None:
        return  # a redelivered message, a second worker, a cancelled job
    upstream = r.pool.key(loaded.job.place)
    claimant = secrets.token_hex(6)
    if r.health.images_away:
        step = decisions.handed_back(loaded.job, loaded.now)
    else:
        step = decisions.claim(loaded.job, upstream.name, loaded.now, r.limits, claimant, loaded.quickest_ms)
    if step is None or not await _claimed(r, loaded, step, claimant):
        return
    _note(loaded.job, step)
    reached(Point.INTENT_WRITTEN)
    if step.job.status is Status.SUBMITTING and (attempt := step.job.attempt):
        await _submit_claimed(r, step.job, attempt, upstream)


async def poll(r: Resources, job_id: str) -> None:
    """Asks the upstream for a job that it has, because no callback has told us yet."""
    loaded = await _current(r, job_id)
    attempt = loaded and _askable(loaded.job)
    if not loaded or not attempt:
        return
    answer = await _fetch(r, attempt, attempt.request_id or "")
    await _record(r, job_id, lambda job, now: decisions.polled(job, attempt.number, answer, now, r.limits))


async def collect(r: Resources, job_id: str) -> None:
    """Fetches the pictures that are not stored yet and, when they are durable, says so."""
    loaded = await _current(r, job_id)
    if not loaded or not _collectable(loaded.job):
        return
    job = loaded.job
    inline: tuple[str, ...] = ()
    if not job.links or job.tries % ASK_ANEW_EVERY == ASK_ANEW_EVERY - 1:
        job, inline = await _ask_anew(r, job)
    await _collect_known(r, job, inline)


async def hand_over(r: Resources, job_id: str) -> None:
    """Has the pictures of a job fetched by those who do nothing else."""
    await r.store.hand_over(job_id)


async def rescue(r: Resources, job_id: str) -> None:
    """Looks at a job whose time has come: reads its callbacks, its clock, and goes on where it stands."""
    loaded = await _current(r, job_id)
    if loaded is None:
        return
    if _collectable(loaded.job):
        await hand_over(r, job_id)  # a deadline never waits behind a download
    elif _askable(loaded.job):
        await poll(r, job_id)


async def settle(r: Resources, job_id: str) -> None:
    """Decides on the callbacks of a job; what follows from them has its own message."""
    await _current(r, job_id)


async def tell(r: Resources, delivery_id: str) -> None:
    """Tells the caller how the job ended. Its own track: no outcome here moves the job."""
    delivery = await r.notifier.ledger.read(delivery_id)
    if delivery and delivery.state != "pending":
        return  # a message that came twice, or after it was told
    loaded = await r.store.view(delivery.job_id) if delivery else None
    if loaded is None or loaded.job.order.webhook is None:
        await r.notifier.ledger.close(delivery_id, "job_gone")
        return
    # as GET shows it, now: a result that came after the end is told with the delivery of that end
    if loaded.job.order.compatible:
        payload = callback_shape(loaded.job, r.viewer, loaded.now)
    else:
        payload = job_view(loaded.job, loaded.timeline, r.viewer, loaded.now, loaded.standing)
    await r.notifier.tell(delivery_id, Target.of(loaded.job.order.tenant, loaded.job.order.webhook), payload)


async def _claimed(r: Resources, loaded: Loaded, step: Step, claimant: str) -> bool:
    """Whether the intent is on disk and ours. Where the reply was lost, it may be: then it is taken back, unsent."""
    try:
        return await r.store.advance(loaded, step)
    except Unavailable:
        await _record(r, loaded.job.id, lambda job, now: decisions.never_sent(job, claimant, now))
        return False


async def _submit_claimed(r: Resources, job: Job, attempt: Attempt, upstream: UpstreamKey) -> None:
    outcome = await _post(r, job, attempt, upstream)
    reached(Point.ANSWER_RECEIVED)
    log.info("attempt.answered", **_facts(job), outcome=type(outcome).__name__)
    recorded = await _record(
        r, job.id, lambda current, now: decisions.answered(current, attempt.number, outcome, now, r.limits)
    )
    reached(Point.OUTCOME_WRITTEN)
    inline = outcome.answer.inline if isinstance(outcome, Taken) else ()
    if recorded and inline and recorded.status is Status.STORING:
        await _collect_known(r, recorded, inline)


async def _post(r: Resources, job: Job, attempt: Attempt, upstream: UpstreamKey) -> Outcome:
    webhook = f"{r.settings.public_url}/webhooks/modelslab/{callback_token(attempt.track_id, r.settings.secrets)}"
    body = submit_body(job.order.request, key=upstream.key, track_id=attempt.track_id, webhook=webhook)
    return await r.client.submit(upstream.base_url, body)


async def _fetch(r: Resources, attempt: Attempt, request_id: str) -> Answer | None:
    """What the upstream says of that request; None where it could not be asked."""
    upstream = r.pool.key(attempt.upstream)
    try:
        return await r.client.fetch(upstream.base_url, fetch_body(upstream.key, request_id))
    except UpstreamError as error:
        log.warning("fetch.failed", track_id=attempt.track_id, reason=type(error).__name__)
        return None


async def _ask_anew(r: Resources, job: Job) -> tuple[Job, tuple[str, ...]]:
    attempt = next((each for each in job.attempts if each.status == "succeeded" and each.request_id), None)
    answer = attempt and await _fetch(r, attempt, attempt.request_id or "")
    if not answer or answer.kind != "success":
        return job, ()
    newest = await _record(r, job.id, lambda current, now: decisions.refreshed(current, answer, now, r.limits))
    return newest or job, answer.inline


async def _collect_known(r: Resources, job: Job, inline: tuple[str, ...]) -> None:
    async with at_work(r.store, job, r.settings.lease_seconds):
        images, outstanding = await collect_pictures(r.pictures, job, inline)
    reached(Point.PICTURES_STORED)
    await _record(r, job.id, lambda current, now: decisions.collected(current, images, outstanding, now, r.limits))
    reached(Point.END_WRITTEN)


async def _current(r: Resources, job_id: str) -> Loaded | None:
    """The record after every callback that waited was decided on, and everything that time alone decides."""
    while loaded := await r.store.load(job_id):
        if loaded.inbox and await _read_callback(r, loaded):
            continue
        # also where a callback could not be confirmed yet: a deadline does not wait for that
        step = decisions.woken(loaded.job, loaded.now, r.limits)
        if step is None:
            if not loaded.inbox and loaded.job.is_terminal and next_look(loaded.job, loaded.now, r.limits) is None:
                await r.store.rest(loaded.job)
            return loaded
        await _take_by_time(r, loaded, step)
    return None


async def _take_by_time(r: Resources, loaded: Loaded, step: Step) -> None:
    try:
        won = await r.store.advance(loaded, step)
    except OverBudget:
        step = decisions.unaffordable(loaded.job, loaded.now, r.limits)
        won = await r.store.advance(loaded, step)
    if won:
        _note(loaded.job, step)


async def _read_callback(r: Resources, loaded: Loaded) -> bool:
    """Decides on the oldest callback; the write that applies it also marks it as read, so it counts once.

    False where it has to be confirmed and could not be: it stays unread.
    """
    _, number, body = loaded.inbox[0].split(b" ", 2)
    answer = parse_answer(body)
    if r.settings.confirm_callbacks and answer.kind == "success":
        confirmed = await _confirmed(r, loaded.job, int(number), answer)
        if confirmed is None:
            return False
        answer = confirmed
    step = decisions.called_back(loaded.job, int(number), answer, loaded.now, r.limits)
    if step is None:
        await r.store.mark_read(loaded)
    elif await r.store.advance(loaded, step, inbox_read=loaded.inbox_read + 1):
        _note(loaded.job, step)
        reached(Point.CALLBACK_APPLIED)
    return True


async def _confirmed(r: Resources, job: Job, number: int, hint: Answer) -> Answer | None:
    """What fetch says instead of what the callback says; None while it says nothing certain ("not found" is not)."""
    attempt = job.numbered(number)
    request_id = (attempt.request_id if attempt else None) or hint.request_id
    if attempt is None or request_id is None:
        return hint
    told = await _fetch(r, attempt, request_id)
    certain = told and (told.kind == "success" or (told.kind == "failed" and told.request_id))
    return told if certain else None


async def _record(r: Resources, job_id: str, decide: Decide) -> Job | None:
    """Applies what follows from something that has happened, however long Redis is away and whoever else writes."""
    pause = 0.05
    while True:
        try:
            return await _applied(r, job_id, decide)
        except Unavailable:
            log.warning("record.waits_for_redis", job_id=job_id)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


async def _applied(r: Resources, job_id: str, decide: Decide) -> Job | None:
    while loaded := await r.store.load(job_id):
        step = decide(loaded.job, loaded.now)
        if step is None:
            return loaded.job
        if await r.store.advance(loaded, step):
            _note(loaded.job, step)
            return step.job
    return None


def _askable(job: Job) -> Attempt | None:
    """The attempt to ask the upstream about: the newest whose request id is known and whose end is not."""
    open_ends = (Status.PROCESSING, Status.UNKNOWN)
    if job.status not in open_ends and not (job.accepts_late_result and job.completed_via is None):
        return None
    unended = (each for each in reversed(job.attempts) if each.request_id and each.status in ("processing", "unknown"))
    return next(unended, None)


def _collectable(job: Job) -> bool:
    return job.status is Status.STORING or (job.accepts_late_result and job.completed_via is not None)


def _note(before: Job, step: Step) -> None:
    """One line per step, with every fact of it and nothing that the caller wrote."""
    log.info(f"job.{step.job.status}", **_facts(step.job), before=before.status.value, cause=step.cause)


def _facts(job: Job) -> dict[str, object]:
    number = job.attempt.number if job.attempt else None
    return {"job_id": job.id, "tenant": job.order.tenant, "attempt": number, "version": job.version}
