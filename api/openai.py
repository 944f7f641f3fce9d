"""`POST /v1/images/generations` as OpenAI has it: the same job, waited for within a bound, in OpenAI's words.

The official client repeats by itself and sends no Idempotency-Key: where a repetition could buy twice, the answer
carries `x-should-retry: false`, which it obeys.
"""

import re
from base64 import b64encode
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from api.compatible import picture_bytes
from api.jobs import accept_one, wait_for_end
from api.keys import authenticate
from api.problems import InvalidRequest, Problem, problem_responses
from api.schemas.request import FieldError, decoded_object, parse_compatible
from api.state import State, state
from worker.job import Image, Job, Status
from worker.view import image_url

router = APIRouter(prefix="/v1", tags=["openai"])

MOST_PICTURES = 4
SIZE = re.compile(r"(\d{1,4})x(\d{1,4})")
FORMATS = ("url", "b64_json")
NEVER_REPEAT = {"x-should-retry": "false"}


@router.post(
    "/images/generations",
    summary="Generate images as OpenAI does",
    responses=problem_responses("generation_failed", "timeout"),
)
async def generate_images(request: Request) -> Response:
    """Buys the pictures and waits for them, up to `DARKROOM_OPENAI_WAIT_SECONDS`; then the job goes on by itself."""
    tenant, here = await authenticate(request, "submit"), state(request)
    body = await request.body()
    content = decoded_object(body)
    picture_format = _format(content)
    wanted = _wanted(content, here["settings"].openai_model_id)
    _, accepted = await accept_one(request, tenant, parse_compatible(wanted), body)
    job_id = accepted.ids[0]
    found = await wait_for_end(here, job_id, here["settings"].openai_wait_seconds)
    if found is None or not found.job.is_terminal:
        raise Problem("timeout", f"Job {job_id} goes on: see /v1/jobs/{job_id}.", headers=NEVER_REPEAT)
    if found.job.status is not Status.SUCCEEDED:
        raise Problem("generation_failed", _why(found.job), headers=NEVER_REPEAT)
    data = [await _picture(here, found.job, image, picture_format) for image in found.job.images]
    answer = {"created": found.job.order.created_at // 1000, "data": data}
    return Response(orjson.dumps(answer), 200, {"location": f"/v1/jobs/{job_id}"}, "application/json")


def _wanted(content: dict[str, Any], default_model: str) -> dict[str, Any]:
    """OpenAI's parameters as ours. What has no counterpart (quality, style, background …) is ignored."""
    wanted = {"model_id": content.get("model") or default_model, "prompt": content.get("prompt")}
    wanted |= {"samples": _number(content.get("n"))} | _dimensions(content.get("size"))
    return wanted | ({"metadata": {"user": content["user"]}} if content.get("user") else {})


def _number(given: Any) -> int:
    if given is None:
        return 1
    if type(given) is not int or not 1 <= given <= MOST_PICTURES:
        raise InvalidRequest([FieldError("n", "not_allowed", "n is not usable.", f"1 to {MOST_PICTURES}")])
    return given


def _dimensions(given: Any) -> dict[str, int]:
    if given is None or given == "auto":
        return {}
    match = SIZE.fullmatch(given) if isinstance(given, str) else None
    if match is None or not all(1 <= int(side) <= 1024 for side in match.groups()):
        allowed = "`auto`, or WIDTHxHEIGHT of 1 to 1024 each"
        raise InvalidRequest([FieldError("size", "not_allowed", "size is not usable.", allowed)])
    return {"width": int(match[1]), "height": int(match[2])}


def _format(content: dict[str, Any]) -> str:
    given = content.get("response_format") or "url"
    if given not in FORMATS:
        raise InvalidRequest([FieldError("response_format", "not_allowed", "It is not usable.", "url, b64_json")])
    return str(given)


async def _picture(here: State, job: Job, image: Image, picture_format: str) -> dict[str, str]:
    if picture_format == "url":
        return {"url": image_url(job.id, image.index, here["viewer"], here["store"].now())}
    return {"b64_json": b64encode(await picture_bytes(here, image)).decode()}


def _why(job: Job) -> str:
    error = job.error
    reason = (error.upstream_message or error.message) if error else f"The job is {job.status}."
    return f"{reason} (job {job.id})"
