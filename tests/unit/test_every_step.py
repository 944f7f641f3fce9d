"""What follows from what, complete: every event on every kind of record, compared field by field with every_step.txt.

The other tables say why; this one makes sure that nothing else changes by the way. Where a difference is meant, read
it, then write the table anew: EVERY_STEP=write .venv/bin/python -m pytest tests/unit/test_every_step.py
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.job.record import Attempt, Failure, Image, Job, Order, Status
from worker.job.step import Step
from worker.job.timing import Durations, next_look

TABLE = Path(__file__).parent / "every_step.txt"
JOB_ID = "01M859N4P0ZK88SXJWVC1PBXXR"
NOW, DEADLINE = 1_000_000, 4_000_000
ENDED = 900_000
LATE = ENDED + 86_400_000
DURATIONS = Durations(submit_lease=80_000, work_lease=60_000, unknown_wait=300_000)
LINKS = ("https://cdn/a.png", "https://cdn/b.png")
IMAGES = tuple(Image(index, f"a/{index}.png", "ab" * 32, 64, 64, "PNG", 9, nsfw=index == 1) for index in (0, 1))


def attempt(status: str, number: int = 1, **more: Any) -> Attempt:
    return Attempt(number, f"{JOB_ID}-{number}", "key-1", 950_000, status, **more)


def job(status: Status, *attempts: Attempt, on_unknown: Any = "hold", **more: Any) -> Job:
    order = Order(JOB_ID, "acme", 500_000, DEADLINE, {"samples": 2}, on_unknown=on_unknown)
    return Job(order, status=status, attempts=attempts, updated_at=ENDED, **more)


OPEN_ONE, TAKEN_ONE = attempt("unknown"), attempt("processing", request_id="77")
DONE_ONE = attempt("succeeded", request_id="77")
SHOWN = {"links": LINKS, "completed_via": "callback"}
RECORDS = {
    "queued": job(Status.QUEUED),
    "queued, with a place": job(Status.QUEUED, place="key-1"),
    "queued, refused twice": job(Status.QUEUED, attempt("refused"), attempt("refused", 2), place="key-1"),
    "queued, to be bought again": job(Status.QUEUED, OPEN_ONE, resubmitted=True, place="key-1"),
    "queued, but attempt 1 is taken": job(Status.QUEUED, TAKEN_ONE, resubmitted=True, place="key-1"),
    "submitting": job(Status.SUBMITTING, attempt("submitting", claim="me"), place="key-1"),
    "submitting again": job(Status.SUBMITTING, OPEN_ONE, attempt("submitting", 2, claim="me"), resubmitted=True),
    "unknown, waits": job(Status.UNKNOWN, attempt("unknown", claim="me"), unknown_until=1_200_000, place="key-1"),
    "unknown, wait over": job(Status.UNKNOWN, OPEN_ONE, unknown_until=NOW),
    "unknown, to resubmit": job(Status.UNKNOWN, OPEN_ONE, on_unknown="resubmit", unknown_until=NOW),
    "unknown, was resubmitted": job(
        Status.UNKNOWN, OPEN_ONE, attempt("unknown", 2), on_unknown="resubmit", resubmitted=True, unknown_until=NOW
    ),
    "unknown, to fail": job(Status.UNKNOWN, OPEN_ONE, on_unknown="fail", unknown_until=NOW),
    "unknown, held": job(Status.UNKNOWN, OPEN_ONE),
    "unknown, taken without an id": job(
        Status.UNKNOWN, attempt("processing"), on_unknown="resubmit", unknown_until=NOW
    ),
    "unknown, as an older version left it: attempt 1 is taken": job(Status.UNKNOWN, TAKEN_ONE, attempt("unknown", 2)),
    "unknown, one failed, another open": job(
        Status.UNKNOWN, attempt("failed", request_id="77"), attempt("unknown", 2, request_id="78")
    ),
    "unknown, with an id": job(Status.UNKNOWN, attempt("unknown", request_id="77"), tries=3),
    "processing": job(Status.PROCESSING, TAKEN_ONE, place="key-1", eta_at=1_030_000),
    "processing, asked often": job(Status.PROCESSING, TAKEN_ONE, tries=25, eta_at=1_030_000),
    "processing, asked a little": job(Status.PROCESSING, TAKEN_ONE, tries=4, eta_at=9_000_000),
    "storing": job(Status.STORING, DONE_ONE, **SHOWN),
    "storing, tried often": job(Status.STORING, DONE_ONE, tries=40, images=IMAGES[:1], **SHOWN),
    "storing, without addresses": job(Status.STORING, DONE_ONE, completed_via="callback"),
    "storing, stalled": job(Status.STORING, DONE_ONE, stalls=4, **SHOWN),
    "storing, stalled a little": job(Status.STORING, DONE_ONE, stalls=3, **SHOWN),
    "storing, its twin open": job(Status.STORING, OPEN_ONE, attempt("succeeded", 2, request_id="78"), **SHOWN),
    "storing, its id was not told": job(Status.STORING, attempt("succeeded"), **SHOWN),
    "succeeded": job(Status.SUCCEEDED, DONE_ONE, images=IMAGES, finished_at=ENDED, **SHOWN),
    "succeeded, its twin open": job(
        Status.SUCCEEDED, OPEN_ONE, attempt("succeeded", 2, request_id="78"), finished_at=ENDED, **SHOWN
    ),
    "succeeded, bought twice": job(
        Status.SUCCEEDED, DONE_ONE, attempt("duplicate", 2, request_id="78"), finished_at=ENDED, **SHOWN
    ),
    "failed upstream": job(
        Status.FAILED, attempt("failed", request_id="77"), error=Failure("upstream_failed", "…"), finished_at=ENDED
    ),
    "failed, rejected": job(
        Status.FAILED, attempt("refused"), error=Failure("upstream_rejected", "…"), finished_at=ENDED
    ),
    "failed, nobody knows": job(Status.FAILED, OPEN_ONE, error=Failure("submit_unknown", "…"), finished_at=ENDED),
    "failed, images missing": job(
        Status.FAILED, DONE_ONE, error=Failure("images_unavailable", "…"), finished_at=ENDED, tries=2, **SHOWN
    ),
    "cancelled, nobody knows": job(Status.CANCELLED, OPEN_ONE, finished_at=ENDED, place="key-1"),
    "cancelled, on its way": job(Status.CANCELLED, attempt("submitting"), finished_at=ENDED, place="key-1"),
    "cancelled, taken": job(Status.CANCELLED, TAKEN_ONE, finished_at=ENDED, place="key-1"),
    "expired, nobody knows": job(Status.EXPIRED, OPEN_ONE, finished_at=ENDED, tries=30),
    "expired, taken": job(Status.EXPIRED, TAKEN_ONE, finished_at=ENDED, tries=1),
    "expired, being collected": job(Status.EXPIRED, DONE_ONE, finished_at=ENDED, **SHOWN),
    "expired, as an older version left it: when is not known": job(Status.EXPIRED, DONE_ONE, **SHOWN),
    "expired, never asked": job(Status.EXPIRED, finished_at=ENDED),
}

SUCCESS = Answer("success", request_id="77", links=LINKS, seed=5, nsfw=True)
FAILURE = Answer("failed", request_id="77", message="out of memory")
OUTCOMES: dict[str, Outcome] = {
    "success": Taken(SUCCESS),
    "processing": Taken(Answer("processing", request_id="77", eta_seconds=5)),
    "processing without an id": Taken(Answer("processing")),
    "failed": Taken(FAILURE),
    "busy": NotTaken(Reason.BUSY, "the queue is full", 3.5),
    "unreachable": NotTaken(Reason.UNREACHABLE),
    "key refused": NotTaken(Reason.KEY_REFUSED, "Invalid API key"),
    "rejected": NotTaken(Reason.REJECTED, "width"),
    "open": Open("read_timeout", "…"),
}
ANSWERS: dict[str, Answer | None] = {
    "success": SUCCESS,
    "success without anything": Answer("success"),
    "success, other addresses": replace(SUCCESS, links=LINKS[:1], seed=None),
    "success of another": replace(SUCCESS, request_id="99"),
    "success, another's track_id": replace(SUCCESS, track_id="another"),
    "success, its own track_id": replace(SUCCESS, track_id=f"{JOB_ID}-1"),
    "failed": FAILURE,
    "failed without an id": Answer("failed", message="Request not found"),
    "failed of another": replace(FAILURE, request_id="99"),
    "processing": Answer("processing", request_id="77"),
    "unreadable": Answer("unreadable"),
}


def events(it: Job) -> Iterator[tuple[str, Step | None]]:
    """Everything that can happen to that record, and what follows."""
    for at, name in ((NOW, "now"), (DEADLINE - 1, "just in time"), (DEADLINE, "too late")):
        yield f"claimed {name}", decisions.claim(it, "key-2", at, DURATIONS, "me", server="s1")
    yield "claimed, 3 s left", decisions.claim(it, "key-2", DEADLINE - 3000, DURATIONS, "me", 10_000)
    for claimant in ("me", "another"):
        yield f"never sent by {claimant}", decisions.never_sent(it, claimant, NOW, DURATIONS)
    for cause in ("store_away", "key_unknown"):
        yield f"handed back: {cause}", decisions.handed_back(it, cause, NOW)
    for number in (1, 2):
        for name, outcome in OUTCOMES.items():
            yield f"answered {number}: {name}", decisions.answered(it, number, outcome, NOW, DURATIONS)
        for name, answer in ANSWERS.items():
            if answer:
                yield f"called back {number}: {name}", decisions.called_back(it, number, answer, NOW, DURATIONS)
                yield f"refreshed {number}: {name}", decisions.refreshed(it, number, answer, NOW, DURATIONS)
            yield f"polled {number}: {name}", decisions.polled(it, number, answer, NOW, DURATIONS)
        yield f"polled {number}: nobody", decisions.polled(it, number, None, NOW, DURATIONS, cause="key_unknown")
    for at, name in ((NOW, "now"), (DEADLINE, "at the deadline"), (LATE - 1, "late"), (LATE, "after the late window")):
        for images, outstanding in (((), 2), (IMAGES[:1], 1), (IMAGES[1:], 2), (IMAGES, 0), ((), 0)):
            said = f"collected {len(images)}, {outstanding} outstanding, {name}"
            yield said, decisions.collected(it, images, outstanding, at, DURATIONS)
    for at in (
        NOW,
        950_000 + DURATIONS.submit_lease - 1,
        950_000 + DURATIONS.submit_lease,
        1_200_000,
        DEADLINE - 1,
        DEADLINE,
    ):
        yield f"woken at {at}", decisions.woken(it, at, DURATIONS)
    yield "cancelled", decisions.cancelled(it, NOW)
    yield "resolved: resubmit", decisions.resolved(it, "resubmit", NOW, DURATIONS)
    yield "resolved: fail", decisions.resolved(it, "fail", NOW, DURATIONS)


def shown(before: Job, step: Step) -> str:
    """Every field of a step that is not as it was, or not the usual."""
    assert step.job.version == before.version + 1
    assert step.job.updated_at >= NOW
    news = step.key_news and tuple(asdict(step.key_news).values())
    flags = [each for each in ("collects", "frees_place", "buys_again") if getattr(step, each)]
    changed = [
        f"{each.name}={_short(getattr(step.job, each.name))}"
        for each in fields(Job)
        if each.name not in ("version", "updated_at", "stalls")
        and getattr(step.job, each.name) != getattr(before, each.name)
    ]
    return f"{step.cause} due_in={step.due_in} {' '.join(flags)} news={news} | {' '.join(changed)}"


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Attempt):
        return "[" + "; ".join(",".join(str(part) for part in _told(each)) for each in value) + "]"
    if isinstance(value, tuple) and value and isinstance(value[0], Image):
        return "[" + ",".join(each.key for each in value) + "]"
    return str(value)


def _told(one: Attempt) -> Iterator[Any]:
    """The fields of an attempt that are not as the constructor leaves them, but for what all of them share."""
    for each in fields(Attempt):
        value = getattr(one, each.name)
        if each.name == "track_id":
            assert value == f"{JOB_ID}-{one.number}"
        elif value != each.default:
            yield value if each.name in ("number", "status") else f"{each.name}:{value}"


def rows() -> Iterator[str]:
    for name, record in RECORDS.items():
        yield f"== {name}"
        for trusted in (True, False):
            durations = replace(DURATIONS, callbacks_trusted=trusted)
            looks = [
                next_look(record, at, durations) for at in (NOW, 2_000_000, DEADLINE - 10, DEADLINE, LATE - 500, LATE)
            ]
            yield f"next look, callbacks {'' if trusted else 'not '}trusted: {looks}"
        for event, step in events(record):
            if step is not None:
                yield f"{event} → {shown(record, step)}"


def test_nothing_follows_that_the_table_does_not_say() -> None:
    """Event by event on each record: status, attempts, due time, place, budget, news of the key."""
    said = list(rows())
    if os.environ.get("EVERY_STEP") == "write":
        TABLE.write_text("\n".join(said) + "\n", encoding="utf-8")
    meant = TABLE.read_text(encoding="utf-8").splitlines()
    differences = [pair for pair in zip(said, meant, strict=False) if pair[0] != pair[1]]
    assert differences[:1] == []  # one is enough to read, and quick to show
    assert len(said) == len(meant)
