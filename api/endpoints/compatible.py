"""The upstream's own API, so that its clients can use Darkroom by changing their base URL.

Rules, limits and tenants are those of `/v1`; only the shapes differ. The body's `key` is the caller's Darkroom key.
"""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request, Response

from api.finding import image_bytes
from api.http.json_answer import json_answer
from api.intake.accepting import accept_one
from api.keys import authenticate, authenticate_key
from api.schemas.request import decoded_object, parse_compatible
from api.state import State, state
from worker.job.record import Job, Status
from worker.shown.compatible import NOT_FOUND, fetch_shape, job_id_of, submit_shape
from worker.store.api_keys import Scope
from worker.upstream.chosen import PROVIDER

router = APIRouter(prefix="/api", tags=["compatible"])

FAMILIES = ("/v1/enterprise", "/v1/enterprise/images", "/v1/enterprise/community", "/v6/images")


async def text_to_image(request: Request) -> Response:
    """Accepts one request in the upstream's shape; answers `processing` with the id to fetch by."""
    body = await request.body()
    content = decoded_object(body)
    tenant, here = await _tenant(request, content, "submit"), state(request)
    order, accepted = await accept_one(request, tenant, parse_compatible(content), body, shape="upstream")
    if accepted.verdict != "same":
        job = Job(order, updated_at=order.created_at)
        return json_answer(submit_shape(job, here["viewer"], order.created_at, accepted.standings[0]))
    found = await here["store"].view(accepted.ids[0], tenant)
    if found is None:
        return json_answer(NOT_FOUND)
    shape = submit_shape(found.job, here["viewer"], found.now, found.standing)
    return json_answer(await _as_asked(here, found.job, shape))


async def fetch(request: Request, request_id: str = "") -> Response:
    """The state of a request; another tenant's is answered exactly like one that does not exist."""
    body = await request.body()
    content = decoded_object(body) if body else {}
    tenant, here = await _tenant(request, content, "read"), state(request)
    job_id = job_id_of(request_id or content.get("request_id") or content.get("id"))
    found = await here["store"].view(job_id, tenant) if job_id else None
    if found is None or found.job.order.tenant != tenant:
        return json_answer(NOT_FOUND)
    return json_answer(await _as_asked(here, found.job, fetch_shape(found.job, here["viewer"], found.now)))


async def system_details(request: Request) -> Response:
    """What the upstream says about its server; here it describes the queue."""
    await _tenant(request, decoded_object(await request.body()), "read")
    census = await state(request)["store"].condition.census()
    waiting, places = census.waiting, max(1.0, sum(census.limits.values()))
    queue_seconds = round(waiting * (census.hold_seconds or 0) / places)
    return json_answer({"status": "ok", "queue_num": waiting, "queue_time": queue_seconds, "model_count": 0})


async def schedulers_list(request: Request) -> Response:
    """The schedulers that a request may name."""
    await _tenant(request, decoded_object(await request.body()), "read")
    return json_answer({"schedulers": list(PROVIDER.vocabulary.schedulers)})


for family in FAMILIES:
    shown = family == "/v1/enterprise"  # the other paths are the same calls
    router.add_api_route(f"{family}/text2img", text_to_image, methods=["POST"], include_in_schema=shown)
    router.add_api_route(f"{family}/fetch", fetch, methods=["POST"], include_in_schema=False)
    router.add_api_route(f"{family}/fetch/{{request_id}}", fetch, methods=["POST", "GET"], include_in_schema=False)
    router.add_api_route(f"{family}/system_details", system_details, methods=["POST"], include_in_schema=False)
    router.add_api_route(f"{family}/schedulers_list", schedulers_list, methods=["POST"], include_in_schema=False)


async def _tenant(request: Request, content: dict[str, Any], scope: Scope) -> str:
    """The tenant of the key in the body, or, without one (as for a GET), of the `Authorization` header."""
    key = content.get("key")
    if key is None or key == "":
        return await authenticate(request, scope)
    return await authenticate_key(request, str(key), scope)


async def _as_asked(here: State, job: Job, shape: dict[str, Any]) -> dict[str, Any]:
    if job.status is not Status.SUCCEEDED or job.order.request.get("base64") != "yes":
        return shape
    return shape | {"output": [b64encode(await image_bytes(here, image)).decode() for image in job.images]}
