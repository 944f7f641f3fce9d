"""An unknown job is bought again, by policy or by hand, within its tenant's budget only."""

import asyncio
from dataclasses import replace
from unittest.mock import ANY

import pytest

from config.settings import Settings
from tests.support.api_server import running_api
from tests.support.queue import DURATIONS, accepted, answered, used
from worker import lifecycle
from worker.job import decisions
from worker.job.answer import Open
from worker.job.codec import decode_timeline
from worker.job.record import Status
from worker.operate.flow import FlowControl
from worker.resources import open_resources
from worker.store.admission import OverBudget
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit


async def unknown(store: JobStore, *, samples: int = 1) -> str:
    """A job of which nobody knows whether it was bought, and whose policy may act at once."""
    job_id = await accepted(store, on_unknown="resubmit", request={"samples": samples})
    await answered(store, job_id, Open("read_timeout"), replace(DURATIONS, unknown_wait=0))
    return job_id


async def test_buying_again_by_policy_stays_within_the_budget(settings: Settings, flow: FlowControl) -> None:
    """Ten images a day, ten bought or perhaps bought: the policy holds instead, and says why."""
    here = await open_resources(settings.model_copy(update={"tenant_images_per_day": 10}))
    # one account each: one that leaves so many questions open is paused, and the rest would have no place
    await here.store.queue.configure([UpstreamLimit(f"key-{number}", 1) for number in range(10)])
    ids = [await unknown(here.store) for _ in range(10)]
    for job_id in ids:
        await lifecycle.rescue(here, job_id)
    assert await used(flow) == (10, 0)
    found = [await here.store.load(job_id) for job_id in ids]
    assert {each and each.job.status for each in found} == {Status.UNKNOWN}
    assert {decode_timeline(each.timeline)[-1]["cause"] for each in found if each} == {"read_timeout"}, (
        "staying is no transition"
    )
    stats = await here.lane.call("HGET", "stats", "unknown budget")
    assert int(stats) == 10
    await here.aclose()


async def test_what_fits_is_bought_again(settings: Settings, flow: FlowControl) -> None:
    """An operator's limit goes before the settings' one, and a month has its own: only as many as there is room for."""
    here = await open_resources(settings.model_copy(update={"tenant_images_per_day": 1000}))
    await here.store.queue.configure([UpstreamLimit("key-1", 20)])
    ids = [await unknown(here.store, samples=2) for _ in range(5)]
    await flow.limit_tenant("acme", "images_day", 0)
    await flow.limit_tenant("acme", "images_month", 15)
    for job_id in ids:
        await lifecycle.rescue(here, job_id)
    assert await used(flow) == (14, 0)
    await here.aclose()


async def test_buying_again_by_hand_is_refused_beyond_the_budget(store: JobStore, flow: FlowControl) -> None:
    """Nothing is written, and it is said what is used of how much."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    found = await store.load(await unknown(store))
    await flow.limit_tenant("acme", "images_day", 1)
    assert found is not None
    step = decisions.resolved(found.job, "resubmit", found.now, DURATIONS)
    assert step is not None
    with pytest.raises(OverBudget) as raised:
        await store.advance(found, step)
    assert (raised.value.refusal.limit, raised.value.refusal.used) == (1, 1)
    assert await store.load(found.job.id) == replace(found, now=ANY)
    await flow.limit_tenant("acme", "images_day", 2)
    assert await store.advance(found, step)
    assert await used(flow) == (2, 0)


async def test_a_resolve_beyond_the_budget_is_told_as_an_accept_is(settings: Settings, store: JobStore) -> None:
    """429 `budget_exceeded` with when again; the job stays as it is."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await unknown(store)
    with running_api(settings.model_copy(update={"tenant_images_per_month": 1})) as client:
        client.headers["authorization"] = "Bearer acme-key-0123"
        answer = await asyncio.to_thread(client.post, f"/v1/jobs/{job_id}/resolve", json={"action": "resubmit"})
    assert (answer.status_code, answer.json()["code"]) == (429, "budget_exceeded")
    assert answer.json()["detail"] == "1 of your 1 images of this month are bought or reserved."
    assert int(answer.headers["retry-after"]) > 0
    found = await store.load(job_id)
    assert found is not None
    assert found.job.status is Status.UNKNOWN
