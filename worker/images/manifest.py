"""The manifest beside a job's images: its record without secrets, so that the archive outlives Redis."""

from typing import Any

import orjson

from worker.job.folder import folder_of
from worker.job.record import Image, Job
from worker.job.times import rfc3339


def manifest_key(job: Job) -> str:
    """The store key of the manifest."""
    return f"{folder_of(job)}/job.json"


def manifest(job: Job, images: tuple[Image, ...]) -> bytes:
    """The record as JSON. The caller's webhook is left out: its address may carry a secret of theirs."""
    order = job.order
    content: dict[str, Any] = {
        "id": job.id,
        "tenant": order.tenant,
        "track_id": order.track_id,
        "created_at": rfc3339(order.created_at),
        "request": order.request,
        "adjustments": list(order.adjustments),
        "metadata": order.metadata,
        "retry_of": order.retry_of,
        "completed_via": job.completed_via,
        "nsfw": job.nsfw,
        "attempts": [
            {"number": each.number, "track_id": each.track_id, "request_id": each.request_id, "status": each.status}
            for each in job.attempts
        ],
        "images": list(images),
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)
