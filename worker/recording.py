"""Brings a record up to date: waiting callbacks, decisions by time, and what a worker has just learned.

What a worker has learned is recorded, however long Redis is away; worker/store/steps.py writes it.
"""

import asyncio

import structlog

from worker.asking import ask, askable, is_end
from worker.crash_points import Point, reached
from worker.job import decisions
from worker.job.answer import Answer
from worker.job.endings import contradicts
from worker.job.ids import attempt_track_id
from worker.job.record import Job, Status
from worker.job.step import Step
from worker.job.timing import next_look
from worker.resources import Resources
from worker.store.admission import OverBudget
from worker.store.lane import RedisUnavailable
from worker.store.loaded import Loaded
from worker.store.steps import Decide, apply, write
from worker.upstream.chosen import PROVIDER

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 2.0
LAST_WORD_SECONDS = 5.0
"""How long the end by the deadline waits for a last poll of the upstream."""


class JobGone(Exception):
    """There is no such job. It was removed meanwhile, or never existed."""


async def current(r: Resources, job_id: str) -> Loaded:
    """The record after deciding on every waiting callback, and on everything that depends on time alone.

    A job that the upstream has is polled once more before it expires: its eta may have been wrong, its callback lost.
    Raises JobGone, or BrokenRecord.
    """
    has_asked = False
    while loaded := await r.store.load(job_id):
        if loaded.inbox and await _read_callback(r, loaded):
            continue
        # also if a callback could not be confirmed yet, because a deadline must not wait for that
        step = decisions.woken(loaded.job, loaded.now, r.durations)
        if step is None:
            if not loaded.inbox and loaded.job.is_terminal and next_look(loaded.job, loaded.now, r.durations) is None:
                await r.store.rest(loaded.job)
            return loaded
        if step.job.status is Status.EXPIRED and not has_asked:
            has_asked = True
            if await _last_word(r, loaded.job):
                continue
        await _take_by_time(r, loaded, step)
    raise JobGone


async def record(r: Resources, job_id: str, decide: Decide) -> Job | None:
    """Writes what follows from an event, however long Redis is away, and whoever else writes at the same time.

    Returns the record after it; None if the job is gone.
    """
    pause = 0.05
    while True:
        try:
            applied = await apply(r.store, job_id, decide)
            return applied.job if applied else None
        except RedisUnavailable:
            log.warning("record.waits_for_redis", job_id=job_id)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


async def _last_word(r: Resources, job: Job) -> bool:
    """Polls once more before the deadline ends the job. Returns whether the answer was an end, which is recorded."""
    attempt = askable(job)
    if attempt is None:
        return False
    asked = await ask(r, attempt, attempt.request_id or "", LAST_WORD_SECONDS)
    if not is_end(asked.answer):
        return False
    await record(r, job.id, lambda job, now: decisions.polled(job, attempt.number, asked.answer, now, r.durations))
    return True


async def _take_by_time(r: Resources, loaded: Loaded, step: Step) -> None:
    try:
        await write(r.store, loaded, step)
    except OverBudget:
        await write(r.store, loaded, decisions.unaffordable(loaded.job, loaded.now, r.durations))


async def _read_callback(r: Resources, loaded: Loaded) -> bool:
    """Decides on the oldest callback. The same write marks it as read, so it counts once.

    Returns False if it must be confirmed and could not be; then it stays unread.
    """
    _, number, body = loaded.inbox[0]
    answer = r.cleaner.answer(PROVIDER.parse(body), attempt_track_id(loaded.job.id, number))
    if r.settings.confirm_callbacks and answer.kind == "success":
        confirmed = await _confirmed(r, loaded.job, number, answer)
        if confirmed is None:
            return False
        answer = confirmed
    step = decisions.called_back(loaded.job, number, answer, loaded.now, r.durations)
    if step is None:
        await r.store.inbox.mark_read(loaded)
    elif await write(r.store, loaded, step, inbox_read=loaded.inbox_read + 1):
        reached(Point.CALLBACK_APPLIED)
    return True


async def _confirmed(r: Resources, job: Job, number: int, hint: Answer) -> Answer | None:
    """The answer of fetch that replaces the callback's; None while fetch says nothing certain about this request.

    If two requests have the same id, fetch can never tell. Then the callback's token is the only proof.
    """
    attempt = job.numbered(number)
    request_id = (attempt.request_id if attempt else None) or hint.request_id
    if attempt is None or request_id is None:
        return hint
    asked = await ask(r, attempt, request_id)
    if asked.cause == "shared_id" and attempt.request_id:
        return hint
    told = asked.answer
    return told if told and is_end(told) and not contradicts(attempt, told) else None
