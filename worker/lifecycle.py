"""The story of a job: submit, poll, collect, rescue, tell. Plain functions over the process's resources.

Each reads the record, lets decisions.py decide what follows, writes it by compare-and-set, and acts. After a lost race
it reads again. What was learned from outside (an answer, an image) is recorded before the function returns, however
long Redis is away. What a crash left unrecorded is found again by the job's due time.
"""

import secrets
from dataclasses import replace

import structlog

from worker.asking import Asked, ask, askable
from worker.crash_points import Point, reached
from worker.images.collect import collect_images, keep_to_the_record
from worker.images.store import StoreError
from worker.job import decisions
from worker.job.answer import Taken
from worker.job.endings import contradicts
from worker.job.parking import is_given_up
from worker.job.record import Attempt, Job, Milliseconds, Status
from worker.job.step import Step
from worker.recording import JobGone, current, record
from worker.resources import Resources
from worker.shown.shapes import SHAPES
from worker.store.lane import RedisUnavailable
from worker.store.loaded import Loaded
from worker.store.steps import facts, write
from worker.telling.record import Target
from worker.upstream.accounts import Account
from worker.upstream.chosen import PROVIDER

log = structlog.get_logger()

UNCONFIRMED_MS = 2000
"""The pause before an unconfirmed callback is checked again while it keeps a job from being bought."""
ASK_ANEW_EVERY = 4
"""After so many collections without success, fetch is asked for new addresses."""


async def submit(r: Resources, job_id: str) -> None:
    """Buys the images once: first the intent on disk, then one POST, then its outcome on disk."""
    loaded = await current(r, job_id)
    if loaded.job.status is not Status.QUEUED or loaded.job.place is None:
        return  # a redelivered message, a second worker, a cancelled job
    if loaded.inbox:  # a callback that could not be confirmed yet may hold the result
        await r.store.again_at(job_id, UNCONFIRMED_MS)
        return
    upstream = r.accounts.account(loaded.job.place)
    if upstream is None or r.health.images_away:
        await _hand_back(r, loaded, "store_away" if upstream else "key_unknown")
        return
    claimant = secrets.token_hex(6)
    step = decisions.claim(
        loaded.job, upstream.name, loaded.now, r.durations, claimant, loaded.quickest_ms, server=upstream.server
    )
    if step is None or not await _claimed(r, loaded, step, claimant):
        return
    reached(Point.INTENT_WRITTEN)
    if step.job.status is Status.SUBMITTING and (attempt := step.job.attempt):
        await _submit_claimed(r, step.job, attempt, upstream)


async def poll(r: Resources, job_id: str) -> None:
    """Polls the upstream about a job, because no callback has come yet."""
    loaded = await current(r, job_id)
    attempt = askable(loaded.job)
    if not attempt or loaded.has_just_ended:
        return  # it was asked a moment ago, before the deadline
    asked = await ask(r, attempt, attempt.request_id or "")
    await record(
        r,
        job_id,
        lambda job, now: decisions.polled(job, attempt.number, asked.answer, now, r.durations, cause=asked.cause),
    )


async def collect(r: Resources, job_id: str) -> None:
    """Downloads the images that are not stored yet, and records them when they are durable."""
    loaded = await current(r, job_id)
    if not _collectable(loaded.job):
        return
    async with r.collecting.claimed(loaded.job) as claim:
        if claim:
            claim.too_slow = await _collect(r, loaded.job)


async def _collect(r: Resources, job: Job) -> bool:
    """Whether an image came too slowly."""
    inline: tuple[str, ...] = ()
    if not job.links or job.tries % ASK_ANEW_EVERY == ASK_ANEW_EVERY - 1:
        job, inline = await _ask_anew(r, job)
    return await _collect_known(r, job, inline)


async def hand_over(r: Resources, job_id: str) -> None:
    """Passes a job to the `collect` queue, whose process does nothing else."""
    await r.store.hand_over(job_id)


async def rescue(r: Resources, job_id: str) -> None:
    """Looks at a job that is due: reads its callbacks, checks its times, and continues where it is."""
    loaded = await current(r, job_id)
    if _collectable(loaded.job):
        await hand_over(r, job_id)  # a deadline must never wait for a download
    elif askable(loaded.job):
        await poll(r, job_id)


async def settle(r: Resources, job_id: str) -> None:
    """Decides on the callbacks of a job. What follows from them has its own message."""
    await current(r, job_id)


async def tell(r: Resources, delivery_id: str) -> None:
    """Sends the webhook delivery about a job's end. No outcome here changes the job."""
    delivery = await r.notifier.deliveries.read(delivery_id)
    if delivery and delivery.state != "pending":
        return  # the message came twice, or the delivery has ended
    loaded = await r.store.view(delivery.job_id) if delivery else None
    if loaded is None or loaded.job.order.webhook is None:
        await r.notifier.deliveries.close(delivery_id, "job_gone")
        if delivery is None:
            raise JobGone
        return
    # the job as it is now: a late result is also shown by the delivery of the earlier end
    shape = SHAPES[loaded.job.order.shape]
    payload = shape(loaded.job, loaded.timeline, r.viewer, loaded.now, loaded.standing)
    await r.notifier.tell(delivery_id, Target.of(loaded.job.order.tenant, loaded.job.order.webhook), payload)


async def _hand_back(r: Resources, loaded: Loaded, cause: str) -> None:
    """Gives the place back unused. If this write is lost, the due time brings the job back."""
    step = decisions.handed_back(loaded.job, cause, loaded.now)
    if step:
        await write(r.store, loaded, step)


async def _claimed(r: Resources, loaded: Loaded, step: Step, claimant: str) -> bool:
    """Writes the intent; True if it is on disk and ours. If the reply was lost, it is taken back, unsent."""
    try:
        return await write(r.store, loaded, step)
    except RedisUnavailable:
        await record(r, loaded.job.id, lambda job, now: decisions.never_sent(job, claimant, now, r.durations))
        return False


async def _submit_claimed(r: Resources, job: Job, attempt: Attempt, upstream: Account) -> None:
    outcome = await r.client.submit(upstream, job.order.request, attempt.track_id)
    reached(Point.ANSWER_RECEIVED)
    log.info("attempt.answered", **facts(job), outcome=type(outcome).__name__)
    inline = outcome.answer.inline if isinstance(outcome, Taken) and not outcome.answer.links else ()

    def decide(current: Job, now: Milliseconds) -> Step | None:
        step = decisions.answered(current, attempt.number, outcome, now, r.durations)
        # images that came in the answer are stored here, without a message; the due time covers a crash
        return replace(step, collects=False) if step and inline else step

    recorded = await record(r, job.id, decide)
    reached(Point.OUTCOME_WRITTEN)
    if recorded and inline and _collectable(recorded) and not recorded.links:
        async with r.collecting.noted(recorded):
            await _collect_known(r, recorded, inline)


async def _ask_anew(r: Resources, job: Job) -> tuple[Job, tuple[str, ...]]:
    """Asks fetch for new addresses. Returns the job, and the images themselves if the answer or callback had them."""
    attempt = next((each for each in job.attempts if each.status == "succeeded"), None)
    if attempt is None:
        return job, ()
    asked = await ask(r, attempt, attempt.request_id) if attempt.request_id else Asked(None)
    answer = asked.answer
    if not answer or answer.kind != "success" or contradicts(attempt, answer):
        return job, () if job.links else await _called_back_inline(r, job, attempt)
    newest = await record(
        r, job.id, lambda current, now: decisions.refreshed(current, attempt.number, answer, now, r.durations)
    )
    return newest or job, answer.inline


async def _called_back_inline(r: Resources, job: Job, attempt: Attempt) -> tuple[str, ...]:
    """The images in a callback's own body, which stays in the inbox as long as the job exists."""
    bodies = await r.store.inbox.of_attempt(job.id, attempt.number)
    found = (answer.inline for answer in map(PROVIDER.parse, bodies) if answer.kind == "success")
    return next((inline for inline in found if inline), ())


async def _collect_known(r: Resources, job: Job, inline: tuple[str, ...]) -> bool:
    """Whether an image came too slowly."""
    found = await collect_images(r.images, job, inline)
    reached(Point.IMAGES_STORED)

    def decide(current: Job, now: Milliseconds) -> Step | None:
        return decisions.collected(current, found.images, found.outstanding, now, r.durations, deaths=found.deaths)

    after = await record(r, job.id, decide)
    reached(Point.END_WRITTEN)
    try:
        await keep_to_the_record(r.images.store, job, found.images, after)
    except StoreError as error:
        log.warning("images.left_behind", **facts(job), reason=str(error))
    return found.too_slow


def _collectable(job: Job) -> bool:
    is_late = job.accepts_late_result and job.completed_via is not None and not is_given_up(job)
    return job.status is Status.STORING or is_late
