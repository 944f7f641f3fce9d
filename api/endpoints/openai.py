"""`POST /v1/images/generations`, OpenAI's images API: a normal job, waited for a limited time, in OpenAI's shapes.

The official client retries by itself and sends no Idempotency-Key. Where a retry could buy twice, the answer carries
`x-should-retry: false`, which the client obeys.
"""

import re
from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request, Response

from api.finding import image_bytes, wait_for_end
from api.http.json_answer import json_answer
from api.http.problems import InvalidRequest, Problem
from api.intake.accepting import accept_one
from api.keys import authenticate
from api.schemas.field_errors import FieldError
from api.schemas.openai import HEIGHT, MOST_IMAGES, OPENAI_RESPONSES, RANGES, REQUEST_SCHEMA, WIDTH
from api.schemas.request import decoded_object, parse_compatible, refuse_too_many
from api.state import State, state
from worker.job.record import Image, Job, Status
from worker.shown.job import image_url

router = APIRouter(prefix="/v1", tags=["openai"])

SIZE = re.compile(rf"(?P<width>{WIDTH})x(?P<height>{HEIGHT})")
FORMATS = ("url", "b64_json")
MOST_USER_CHARACTERS = 256
NEVER_REPEAT = {"x-should-retry": "false"}


@router.post(
    "/images/generations",
    summary="Generate images as OpenAI does",
    responses=OPENAI_RESPONSES,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST_SCHEMA}}}},
)
async def generate_images(request: Request) -> Response:
    """Buys the images and waits for up to `DARKROOM_OPENAI_WAIT_SECONDS`; after that the job continues by itself."""
    tenant, here = await authenticate(request, "submit"), state(request)
    body = await request.body()
    content = decoded_object(body)
    refuse_too_many(content)
    image_format = _format(content)
    wanted = _wanted(content, here["settings"].openai_model_id)
    with here["followers"].place(tenant):
        _, accepted = await accept_one(request, tenant, parse_compatible(wanted), body)
        job_id = accepted.ids[0]
        found = await wait_for_end(request, job_id, here["settings"].openai_wait_seconds)
    if found is None or not found.job.is_terminal:
        raise Problem("timeout", f"Job {job_id} goes on: see /v1/jobs/{job_id}.", headers=NEVER_REPEAT)
    if found.job.status is not Status.SUCCEEDED:
        raise Problem("generation_failed", _why(found.job), headers=NEVER_REPEAT)
    data = [await _image(here, found.job, image, image_format) for image in found.job.images]
    answer = {"created": found.job.order.created_at // 1000, "data": data}
    return json_answer(answer, headers={"location": f"/v1/jobs/{job_id}"})


def _wanted(content: dict[str, Any], default_model: str) -> dict[str, Any]:
    """OpenAI's parameters as ours. Those without a counterpart (quality, style, background …) are ignored."""
    wanted: dict[str, Any] = {"model_id": _text(content, "model") or default_model, "prompt": _text(content, "prompt")}
    wanted |= {"samples": _number(content.get("n"))} | _dimensions(content.get("size"))
    return wanted | _user(content.get("user"))


def _text(content: dict[str, Any], name: str) -> str | None:
    given = content.get(name)
    if given is not None and not isinstance(given, str):
        raise InvalidRequest([FieldError(name, "not_allowed", f"{name} is not usable.", "text")])
    return given


def _user(given: Any) -> dict[str, Any]:
    if given is None or given == "":
        return {}
    if not isinstance(given, str) or len(given) > MOST_USER_CHARACTERS:
        allowed = f"text of up to {MOST_USER_CHARACTERS} characters"
        raise InvalidRequest([FieldError("user", "not_allowed", "user is not usable.", allowed)])
    return {"metadata": {"user": given}}


def _number(given: Any) -> int:
    if given is None:
        return 1
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # JSON has only one kind of number
    if type(given) is not int or not 1 <= given <= MOST_IMAGES:
        raise InvalidRequest([FieldError("n", "not_allowed", "n is not usable.", f"1 to {MOST_IMAGES}")])
    return given


def _dimensions(given: Any) -> dict[str, int]:
    if given is None or given == "auto":
        return {}
    match = SIZE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        low, high = RANGES["width"]
        allowed = f"`auto`, or WIDTHxHEIGHT of {low} to {high} each"
        raise InvalidRequest([FieldError("size", "not_allowed", "size is not usable.", allowed)])
    return {"width": int(match["width"]), "height": int(match["height"])}


def _format(content: dict[str, Any]) -> str:
    given = content.get("response_format")
    if given is None:
        return "url"
    if given not in FORMATS:
        raise InvalidRequest([FieldError("response_format", "not_allowed", "It is not usable.", "url, b64_json")])
    return str(given)


async def _image(here: State, job: Job, image: Image, image_format: str) -> dict[str, str]:
    if image_format == "url":
        return {"url": image_url(job.id, image.index, here["viewer"], here["store"].now())}
    return {"b64_json": b64encode(await image_bytes(here, image)).decode()}


def _why(job: Job) -> str:
    error = job.error
    reason = (error.upstream_message or error.message) if error else f"The job is {job.status}."
    return f"{reason} (job {job.id})"
