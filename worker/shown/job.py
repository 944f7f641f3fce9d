"""The view of a job, for `GET` and for webhook deliveries. Pure: the record in, plain data out.

The shape is that of docs/api.md. Times are RFC 3339 in UTC with milliseconds; an unknown value is null.
"""

from dataclasses import dataclass
from typing import Any

from worker.job.codec import decode_timeline
from worker.job.record import Attempt, Image, Job, Milliseconds, Status
from worker.job.times import rfc3339
from worker.shown.explain import explain
from worker.signing import image_signature
from worker.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Viewer:
    """What a view needs beside the record: our public address, and how image addresses are signed, for how long."""

    public_url: str
    secrets: tuple[bytes, ...]
    image_url_ms: Milliseconds


def job_view(
    job: Job, timeline: bytes, viewer: Viewer, now: Milliseconds, standing: Standing | None = None
) -> dict[str, Any]:
    """The whole job."""
    view = job_row(job, viewer, now, standing)
    view["attempts"] = [_attempt(attempt) for attempt in job.attempts]
    view["timeline"] = [row | {"at": rfc3339(row["at"])} for row in decode_timeline(timeline)]
    return view


def job_row(job: Job, viewer: Viewer, now: Milliseconds, standing: Standing | None = None) -> dict[str, Any]:
    """The job without its attempts and timeline, as lists show it."""
    order, where = job.order, standing or Standing()
    return {
        "id": job.id,
        "status": job.status.value,
        "track_id": order.track_id,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(job.updated_at),
        "finished_at": rfc3339(job.finished_at),
        "deadline_at": rfc3339(order.deadline_at),
        "priority": order.priority,
        "request": order.request,
        "adjustments": list(order.adjustments),
        "position": (where.position or 0) if job.status is Status.QUEUED else None,
        "eta_seconds": _eta_seconds(job, where, now),
        "explain": explain(job, where, now),
        "late": job.late,
        "charged": job.charged,
        "completed_via": job.completed_via,
        "nsfw": job.nsfw,
        "images_missing": job.images_missing,
        # before that some may still be missing
        "images": [_image(job, each, viewer, now) for each in job.images] if job.status is Status.SUCCEEDED else [],
        "error": job.error
        and {
            "code": job.error.code,
            "message": job.error.message,
            "upstream_message": job.error.upstream_message,
        },
        "metadata": order.metadata,
        "retry_of": order.retry_of,
        "links": links(job.id, viewer.public_url),
    }


def links(job_id: str, public_url: str) -> dict[str, str]:
    """The addresses that belong to a job."""
    address = f"{public_url}/v1/jobs/{job_id}"
    return {
        "self": address,
        "events": f"{address}/events",
        "cancel": f"{address}/cancel",
        "images": f"{address}/images",
    }


def image_url(job_id: str, index: int, viewer: Viewer, now: Milliseconds) -> str:
    """A signed address of one image: it needs no key, and it expires."""
    # rounded to hours, so that two requests give the same address and a browser may cache the image
    expires = (now + viewer.image_url_ms) // 3_600_000 * 3_600_000 + 3_600_000
    signature = image_signature(job_id, index, expires, viewer.secrets)
    return f"{viewer.public_url}/v1/jobs/{job_id}/images/{index}?expires={expires}&signature={signature}"


def _eta_seconds(job: Job, where: Standing, now: Milliseconds) -> float | None:
    """Seconds to the job's expected end: by the queue while it waits, then by the upstream's eta or recent jobs."""
    if job.status is Status.QUEUED and where.own_position is not None:
        return where.eta_seconds
    if job.status is Status.QUEUED:
        return where.done_ms and round(where.done_ms / 1000, 1)
    if job.status is Status.PROCESSING and job.eta_at and job.eta_at > now:
        return round((job.eta_at - now) / 1000, 1)
    if job.is_terminal or job.status is Status.UNKNOWN or where.done_ms is None or job.attempt is None:
        return None
    return max(0.0, round((job.attempt.started_at + where.done_ms - now) / 1000, 1))


def _image(job: Job, image: Image, viewer: Viewer, now: Milliseconds) -> dict[str, Any]:
    return {
        "index": image.index,
        "url": image_url(job.id, image.index, viewer, now),
        "sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "bytes": image.bytes,
        "seed": image.seed,
        "nsfw": image.nsfw,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "track_id": attempt.track_id,
        "request_id": attempt.request_id,
        "upstream": attempt.upstream,
        "status": attempt.status,
        "started_at": rfc3339(attempt.started_at),
        "answered_at": rfc3339(attempt.answered_at),
        "outcome": attempt.outcome,
        "message": attempt.message,
    }
