"""Every step of a job writes one log line, the same whoever decided on it."""

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from config.settings import Settings
from tests.support.api_server import running_api
from tests.support.engine import Engine, running_engine
from tests.support.queue import DURATIONS, answered
from worker.job import decisions
from worker.job.answer import Open
from worker.job.filter import Filter
from worker.job.ids import new_job_id
from worker.job.record import OPEN, Status
from worker.operate.bulk import cancel_matching
from worker.recording import record
from worker.store.jobs import JobStore
from worker.store.steps import apply

HEADERS = {"authorization": "Bearer acme-key-0123"}
OPEN_ONES = Filter(frozenset(OPEN))


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine that nobody runs."""
    async with running_engine(settings, redis) as made:
        yield made


def cancelled(job_id: str) -> dict[str, Any]:
    return {
        "event": "job.cancelled",
        "log_level": "info",
        "job_id": job_id,
        "tenant": "acme",
        "attempt": None,
        "version": 2,
        "before": "queued",
        "cause": "cancelled",
    }


def steps(lines: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["event"].startswith("job.")]


async def test_a_step_of_a_worker_says_what_it_was(engine: Engine) -> None:
    """With every fact of it, and nothing that the caller wrote."""
    job_id = await engine.accepted()
    with capture_logs() as lines:
        await record(engine.r, job_id, decisions.cancelled)
    assert steps(lines) == [cancelled(job_id)]


async def test_a_cancel_over_http_writes_the_line_of_a_workers_step(engine: Engine, settings: Settings) -> None:
    """Whoever reads the log of a job finds its end in it."""
    job_id = await engine.accepted()
    with running_api(settings) as client, capture_logs() as lines:
        assert client.post(f"/v1/jobs/{job_id}/cancel", headers=HEADERS).status_code == 200
        assert client.post(f"/v1/jobs/{job_id}/cancel", headers=HEADERS).status_code == 409
    assert steps(lines) == [cancelled(job_id)]


async def test_a_bulk_cancel_writes_the_line_of_a_workers_step(engine: Engine) -> None:
    """One for each job."""
    ids = [await engine.accepted() for _ in range(3)]
    with capture_logs() as lines:
        assert await cancel_matching(engine.r.store, ["acme"], OPEN_ONES) == 3
    assert sorted(steps(lines), key=lambda line: str(line["job_id"])) == [cancelled(job_id) for job_id in ids]


async def test_an_unknown_that_is_decided_over_http_writes_its_line(engine: Engine, settings: Settings) -> None:
    """Also where it buys again."""
    job_id = await engine.accepted()
    await answered(engine.r.store, job_id, Open("read_timeout"))
    with running_api(settings) as client, capture_logs() as lines:
        answer = client.post(f"/v1/jobs/{job_id}/resolve", headers=HEADERS, json={"action": "resubmit"})
        assert answer.status_code == 200
    (line,) = steps(lines)
    assert (line["event"], line["before"], line["cause"]) == ("job.queued", "unknown", "manual")


async def test_where_nothing_follows_nothing_is_written(store: JobStore, engine: Engine) -> None:
    """Its job comes back as it stands; of one that is not there, nothing."""
    job_id = await engine.accepted()
    with capture_logs() as lines:
        applied = await apply(store, job_id, lambda job, now: decisions.resolved(job, "fail", now, DURATIONS))
        assert await apply(store, new_job_id(0), decisions.cancelled) is None
    assert applied is not None
    assert (applied.job.status, applied.job.version, applied.step) == (Status.QUEUED, 1, None)
    assert steps(lines) == []
