"""The sandbox's answers, shaped as documented. Each shape has its recording in tests/recordings."""

import re
from collections.abc import Mapping
from typing import Any

from worker.upstream.modelslab.sandbox.work import Work

NEGATIVE_SUFFIX = " ((out of frame)), ((extra fingers)), mutated hands"
SENT = re.compile(r"\{(\w+)\}")
WRONG_URL = {"message": ""}
HTTP_ERRORS = {
    400: "Invalid API Request",
    401: "Invalid API key",
    402: "Insufficient credits. Please add more credits to continue.",
    403: "This feature requires a premium subscription",
    500: "Internal server error. Please try again.",
    503: "Service temporarily unavailable. Please try again later.",
}


def processing(work: Work, base: str) -> dict[str, Any]:
    """The answer to a POST that was queued."""
    message = "Try to fetch request after seconds estimated"
    return {
        "status": "processing",
        "tip": "Get image faster by passing a smaller size",
        "eta": work.eta if work.faults.eta is None else work.faults.eta,
        "messege" if work.faults.messege else "message": message,
        "webhook_status": "",
        "fetch_result": f"{base}/api/v1/enterprise/fetch/{work.id}",
        "id": work.id_in("answer"),
        "output": [],
        "meta": meta(work) | _echoes(work, base),
        "future_links": work.addresses(base),
    } | work.foreign_track_in("answer")


def success(work: Work, output: object) -> dict[str, Any]:
    """The answer to a POST that is done at once."""
    return {
        "status": "success",
        "generationTime": round(work.seconds, 2),
        "id": work.id_in("answer"),
        "output": output,
        "nsfw_content_detected": work.faults.nsfw,
        "meta": meta(work),
    } | work.foreign_track_in("answer")


def callback(work: Work, output: object) -> dict[str, Any]:
    """The callback of a request that succeeded."""
    body = _callback_head(work, "success") | {"output": output, "generationTime": round(work.seconds, 2)}
    body |= {"nsfw_content_detected": work.faults.nsfw, "meta": meta(work)}
    if work.faults.no_output:
        del body["output"]
    return body


def failed_callback(work: Work, message: str) -> dict[str, Any]:
    """The callback of a request that failed."""
    return _callback_head(work, "failed") | {"message": message}


def callback_in_between(work: Work) -> dict[str, Any]:
    """A callback that only says that the request is in progress."""
    return _callback_head(work, "processing") | {"output": ""}


def failed() -> dict[str, Any]:
    """The answer to a POST that was taken and failed at once; it has no id."""
    return {"status": "failed", "id": "", "message": "Failed, Try Again", "output": ""}


def fetched(work: Work, output: object) -> dict[str, Any]:
    """Fetch of a request that succeeded; it has no meta."""
    return {"status": "success", "id": work.id_in("fetch"), "output": output} | work.foreign_track_in("fetch")


def fetched_pending() -> dict[str, Any]:
    """Fetch of a request in progress; no id, no eta, output is an empty string."""
    return {"status": "processing", "messege": "try again later.", "output": "", "tip": "Try Again"}


def fetched_failed(work: Work, message: str) -> dict[str, Any]:
    """Fetch of a request that failed."""
    body = {"status": "failed", "id": work.id_in("fetch"), "message": message, "output": ""}
    return body | work.foreign_track_in("fetch")


def not_found() -> dict[str, Any]:
    """Fetch of an unknown request."""
    return {"status": "failed", "id": "", "message": "Request not found", "output": "", "tip": "Check the request id"}


def repeating(text: str, sent: Mapping[str, Any]) -> str:
    """The text with each `{name}` replaced by what was sent under that name: an upstream that repeats its caller."""
    return SENT.sub(lambda found: str(sent.get(found[1], found[0])), text)


def error(message: object) -> dict[str, Any]:
    """A refusal. The message is text, or a list of sentences per field."""
    return {"status": "error", "message": message}


def invalid_request() -> dict[str, Any]:
    """A refusal of a body that is not a JSON object."""
    return {"status": "error", "message": "Invalid API Request", "tip": "Check that the body is JSON"}


def http_error(status: int) -> dict[str, Any]:
    """The body of an HTTP error; a wrong address is answered with JSON without `status`."""
    if status < 400 or status in (404, 405):
        return WRONG_URL
    return error(HTTP_ERRORS.get(status, HTTP_ERRORS[503]))


def queue_full(limit: int, retry_after: int | None) -> dict[str, Any]:
    """A refusal because the account's queue is full. `retry_after` is in seconds, in the body; None: it is not told."""
    refusal = error(f"Rate limit exceeded. Maximum {limit} queued requests allowed.")
    return refusal if retry_after is None else refusal | {"retry_after": retry_after}


def meta(work: Work) -> dict[str, Any]:
    """The provider's description of a request: renamed fields, numbers as numbers, the seed that was used."""
    given = work.request
    return {
        "prompt": given.get("prompt"),
        "model_id": given.get("model_id"),
        "negative_prompt": f"{given.get('negative_prompt') or ''}{NEGATIVE_SUFFIX}",
        "scheduler": given.get("scheduler") or "UniPCMultistepScheduler",
        "safetychecker": given.get("safety_checker") or "yes",
        "W": work.width,
        "H": work.height,
        "file_prefix": work.prefix,
        "guidance_scale": float(given.get("guidance_scale") or 7.5),
        "seed": work.seed,
        "steps": int(given.get("num_inference_steps") or 21),
        "n_samples": work.samples,
        "upscale": given.get("upscale") or "no",
        "panorama": given.get("panorama") or "no",
        "self_attention": given.get("self_attention") or "no",
        "lora": given.get("lora_model"),
        "vae": given.get("vae"),
        "outdir": "out",
    }


def _echoes(work: Work, base: str) -> dict[str, Any]:
    """What the answer of a queued request repeats in its meta."""
    addresses = work.addresses(base)
    return {"webhook": work.webhook, "track_id": work.track_id, "id": str(work.id), "output": addresses}


def _callback_head(work: Work, status: str) -> dict[str, Any]:
    """The first fields of every callback, without those that a fault leaves out."""
    head: dict[str, Any] = {"status": status}
    if not work.faults.no_callback_id:
        head["id"] = work.id_in("callback")
    if not work.faults.no_track_id:
        head["track_id"] = work.track_id
    return head | work.foreign_track_in("callback")
