"""Deliveries made as they come to be: a job is accepted with a webhook, and ends."""

from worker.job import decisions
from worker.job.ids import new_job_id
from worker.job.record import Order
from worker.store.admission import Allowance
from worker.store.jobs import JobStore

MOST = Allowance(100_000)


async def ended_job(store: JobStore, webhook: str, tenant: str = "acme") -> str:
    """Accepts a job and cancels it; the id of the delivery that follows."""
    now = store.now()
    order = Order(
        id=new_job_id(now),
        tenant=tenant,
        request={"model_id": "m", "prompt": "p"},
        created_at=now,
        deadline_at=now + 60_000,
        webhook=webhook,
    )
    assert (await store.accept([order], MOST)).verdict == "created"
    while True:  # where workers run, one may be quicker
        found = await store.load(order.id)
        assert found is not None
        step = decisions.cancelled(found.job, found.now)
        assert step is not None
        if await store.advance(found, step):
            break
    return f"msg_{order.id}_{step.job.version}"
