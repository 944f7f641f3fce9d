"""A job in the upstream's shapes, for clients of the provider's API. Pure: the record in, plain data out.

The shapes are those of the provider's documentation: an answer to text2img, to fetch, and a callback.
"""

from typing import Any

from worker.job.cost import images_of
from worker.job.ids import CROCKFORD, is_job_id
from worker.job.record import Job, Milliseconds, Status
from worker.shown.job import Viewer, image_url, job_row
from worker.store.standing import Standing

UNKNOWN_ETA_SECONDS = 5.0
"""The eta while nothing is known: clients of the upstream expect a number."""
MOST_ID_DIGITS = 39
FAILED = frozenset({Status.FAILED, Status.CANCELLED, Status.EXPIRED})
ENDED_WITHOUT_ERROR = {Status.CANCELLED: "The request was cancelled", Status.EXPIRED: "The request timed out"}
NOT_FOUND = {
    "status": "failed",
    "id": "",
    "message": "Request not found",
    "output": "",
    "tip": "Check the request id",
}


def public_id(job_id: str) -> str:
    """The job's ULID as a decimal number in text: clients of the upstream expect a number as id."""
    number = 0
    for letter in job_id:
        number = number * 32 + CROCKFORD.index(letter)
    return str(number)


def job_id_of(given: Any) -> str | None:
    """The job id that a request id stands for, or None. It may be a number, text, or Darkroom's own id."""
    text = str(given)
    if is_job_id(text):
        return text
    if isinstance(given, bool) or not (text.isascii() and text.isdigit() and len(text) <= MOST_ID_DIGITS):
        return None
    number = int(text)
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5)) if number < 1 << 128 else None


def submit_shape(job: Job, viewer: Viewer, now: Milliseconds, standing: Standing | None = None) -> dict[str, Any]:
    """The answer to text2img: `processing` with the future addresses of the images, or how the job ended."""
    if job.is_terminal:
        return fetch_shape(job, viewer, now)
    identity, links = public_id(job.id), future_links(job, viewer)
    eta = job_row(job, viewer, now, standing)["eta_seconds"]
    return {
        "status": "processing",
        "tip": "Your image is processing in background",
        "eta": UNKNOWN_ETA_SECONDS if eta is None else eta,
        "messege": "Try to fetch request after seconds estimated",
        "webhook_status": "",
        "fetch_result": f"{viewer.public_url}/api/v1/enterprise/fetch/{identity}",
        "id": identity,
        "output": [],
        "meta": _meta(job) | {"id": identity, "output": links},
        "future_links": links,
    }


def fetch_shape(job: Job, viewer: Viewer, now: Milliseconds) -> dict[str, Any]:
    """The answer to fetch."""
    if job.status is Status.SUCCEEDED:
        links = _output(job, viewer, now)
        return {"status": "success", "id": public_id(job.id), "output": links, "proxy_links": links} | _nsfw(job)
    if job.status in FAILED:
        return {"status": "failed", "id": public_id(job.id), "message": _why(job), "output": ""}
    return {
        "status": "processing",
        "messege": "try again later.",
        "output": "",
        "tip": "Your image is processing in background",
    }


def callback_shape(job: Job, viewer: Viewer, now: Milliseconds) -> dict[str, Any]:
    """The body of a webhook delivery in the shape of the upstream's callback."""
    told: dict[str, Any] = {"status": "failed", "id": public_id(job.id), "track_id": job.order.track_id}
    if job.status is not Status.SUCCEEDED:
        return told | {"message": _why(job)}
    seconds = ((job.finished_at or now) - job.order.created_at) / 1000
    told |= {"status": "success", "output": _output(job, viewer, now), "generationTime": round(seconds, 2)}
    return told | {"meta": _meta(job) | {"seed": job.seed}} | _nsfw(job)


def future_links(job: Job, viewer: Viewer) -> list[str]:
    """Addresses that answer 404 until the image is there. They stay valid after the deadline as long as any image's."""
    until = job.order.deadline_at
    return [image_url(job.id, index, viewer, until) for index in range(images_of(job.order.request))]


def _output(job: Job, viewer: Viewer, now: Milliseconds) -> list[str]:
    return [image_url(job.id, image.index, viewer, now) for image in job.images]


def _nsfw(job: Job) -> dict[str, Any]:
    return {"nsfw_content_detected": True} if job.nsfw else {}


def _why(job: Job) -> str:
    if job.error:
        return job.error.upstream_message or job.error.message
    return ENDED_WITHOUT_ERROR.get(job.status, "Failed, Try Again")


def _meta(job: Job) -> dict[str, Any]:
    names = {"width": "W", "height": "H", "num_inference_steps": "steps", "samples": "n_samples"}
    return {names.get(name, name): value for name, value in job.order.request.items()}
