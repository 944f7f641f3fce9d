"""Usage and limits of the caller's tenant: queue, request rate, images of this day and month (UTC)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.http.json_answer import json_answer
from api.http.problems import problem_responses
from api.intake.refusals import allowance_of
from api.keys import authenticate
from api.schemas.usage import UsageView
from api.state import state
from worker.operate.flow import FlowControl, TenantFlow, Used
from worker.store.admission import Allowance
from worker.store.memory import limit_by_room

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.get("/usage", summary="What you use and may use", response_model=UsageView,
            responses=problem_responses("unauthorized", "unavailable"))  # fmt: skip
async def show_usage(request: Request) -> Response:
    """Images: `open` are reserved, being bought, or unknown; `spent` are bought. A limit of null means no limit."""
    tenant, here = await authenticate(request, "read"), state(request)
    flow = await FlowControl(here["lane"], here["store"]).tenant(tenant)
    return json_answer(usage_view(flow, allowance_of(here), here["memory"].room))


def usage_view(flow: TenantFlow, allowance: Allowance, room: int) -> dict[str, Any]:
    """A tenant's usage as plain data; `allowance` has the limits that apply if nothing is set for the tenant.

    `room`: bytes that are left free for jobs of all tenants.
    """
    limits = {
        "rate": allowance.rate,
        "burst": allowance.burst,
        "waiting": allowance.tenant_waiting,
        "images_day": allowance.images_day,
        "images_month": allowance.images_month,
        "bytes": allowance.tenant_bytes or (limit_by_room(flow.bytes, room) if allowance.shares_memory else 0),
    } | flow.limits
    return {
        "tenant": flow.name,
        "paused": flow.paused is not None,
        "weight": flow.weight,
        "waiting": {"jobs": flow.waiting, "limit": _limit(limits["waiting"])},
        "memory": {"bytes": flow.bytes, "limit": _limit(limits["bytes"])},
        "rate": {"requests_per_second": limits["rate"] or None, "burst": _limit(limits["burst"])},
        "day": _period(flow.day, limits["images_day"]),
        "month": _period(flow.month, limits["images_month"]),
    }


def _period(used: Used, limit: float) -> dict[str, Any]:
    images = {"open": used.open, "spent": used.spent, "limit": _limit(limit)}
    return {"period": used.period, "images": images}


def _limit(limit: float) -> int | None:
    return int(limit) or None
