"""Health checks: alive and ready. They need no key and say nothing about any job."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from api.http.json_answer import json_answer
from api.state import State, state
from worker.images.store import StoreError
from worker.store.lane import RedisUnavailable, RedisUnfit
from worker.upstream.chosen import PROVIDER

router = APIRouter(tags=["operator"])

READY = "ready"
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "Not ready: names what is away",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.get("/healthz", summary="Alive")
async def alive() -> dict[str, str]:
    """Liveness: answers as long as the process runs."""
    return {"status": "alive"}


@router.get("/readyz", summary="Ready", responses=NOT_READY)
async def ready(request: Request) -> Response:
    """Readiness: tests each dependency by a real write; 503 names what is away.

    No worker, or none that takes from a queue, is only a warning: what is accepted waits.
    """
    here = state(request)
    facts = await here["readiness"].get(lambda: _facts(here))
    return json_answer(facts) if facts["status"] == READY else json_answer(facts, 503, {"retry-after": "2"})


async def _facts(here: State) -> dict[str, Any]:
    condition = here["store"].condition
    redis, images = await asyncio.gather(_state_of(condition.prove_writable()), _state_of(here["images"].check()))
    workers = await condition.workers_alive() if redis == "ok" else 0
    alone = await condition.queues_left_alone() if redis == "ok" else []
    well = redis == images == "ok"
    facts: dict[str, Any] = {
        "status": READY if well else "unavailable",
        "redis": redis,
        "durability": "; ".join(here["lane"].verdict.warnings) or "ok",
        "memory": here["memory"].words,
        "images": images,
        "workers": workers,
        "queues": f"nobody takes from {', '.join(alone)}" if alone else "ok",
    }
    if not PROVIDER.is_at(here["settings"].upstream_url):
        facts["upstream"] = f"not the provider: {urlsplit(here['settings'].upstream_url).hostname}"
    return facts


async def _state_of(check: Awaitable[object]) -> str:
    try:
        await check
    except RedisUnfit as error:
        return f"refused: {error}"
    except (RedisUnavailable, StoreError) as error:
        return f"away ({error})"
    return "ok"
