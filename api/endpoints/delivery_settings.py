"""Settings of webhook deliveries: a tenant's endpoints, enabling them, and its signing secret."""

from fastapi import APIRouter, Request, Response

from api.http.json_answer import json_answer
from api.http.problems import Problem, problem_responses
from api.keys import authenticate
from api.schemas.delivery import EndpointList, EndpointView, WebhookSecretView
from api.state import state
from worker.job.times import rfc3339
from worker.shown.delivery import endpoint_view
from worker.telling.record import ENDPOINT_ID
from worker.telling.secrets import Signing

router = APIRouter(prefix="/v1", tags=["deliveries"])
PROBLEMS = problem_responses("unauthorized", "unavailable")


@router.get("/webhook-endpoints", summary="Your webhook addresses", response_model=EndpointList,
            responses=PROBLEMS)  # fmt: skip
async def show_endpoints(request: Request) -> Response:
    """The 1,000 endpoints used last, without query, and whether their deliveries succeed."""
    tenant, here = await authenticate(request, "read"), state(request)
    endpoints = await here["deliveries"].endpoints(tenant)
    return json_answer({"endpoints": [endpoint_view(each) for each in endpoints]})


@router.post("/webhook-endpoints/{endpoint_id}/enable", summary="Tell an endpoint again", response_model=EndpointView,
             responses=PROBLEMS | problem_responses("not_found"))  # fmt: skip
async def enable_endpoint(endpoint_id: str, request: Request) -> Response:
    """Enables the endpoint. To send what was not sent meanwhile, use a replay."""
    tenant, here = await authenticate(request, "admin"), state(request)
    known = ENDPOINT_ID.fullmatch(endpoint_id) is not None
    endpoint = await here["deliveries"].enable(tenant, endpoint_id) if known else None
    if endpoint is None:
        raise Problem("not_found", "There is no such endpoint.")
    return json_answer(endpoint_view(endpoint))


@router.get("/webhook-secret", summary="Your signing secret", response_model=WebhookSecretView,
            responses=PROBLEMS)  # fmt: skip
async def show_secret(request: Request) -> Response:
    """Your tenant's own secret. The shared one, which other tenants use as well, is given out by the operator."""
    tenant, here = await authenticate(request, "admin"), state(request)
    return _secret(await here["webhook_secrets"].of(tenant))


@router.post("/webhook-secret/rotate", summary="Make a new signing secret", response_model=WebhookSecretView,
             responses=PROBLEMS)  # fmt: skip
async def rotate_secret(request: Request) -> Response:
    """A new secret signs from now on. The old one still signs for 24 hours: two signatures, either verifies."""
    tenant, here = await authenticate(request, "admin"), state(request)
    return _secret(await here["webhook_secrets"].rotate(tenant))


def _secret(signing: Signing) -> Response:
    return json_answer(
        {
            "secret": signing.secrets[0] if signing.own else None,
            "shared": not signing.own,
            "previous_until": rfc3339(signing.previous_until),
        },
        headers={"cache-control": "no-store"},
    )
