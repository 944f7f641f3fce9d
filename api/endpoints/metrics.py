"""/metrics in Prometheus' format. Redis is the only source, so the numbers are those of all processes."""

import hmac
from collections.abc import Iterator, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.problems import Problem, problem_responses
from api.keys import bearer_of
from api.state import state
from worker.health import callbacks_arrive
from worker.job.record import Milliseconds, Status
from worker.store.census import Census
from worker.telling.record import STATES

router = APIRouter(tags=["operator"])


class CensusCollector(Collector):
    """The census as metric families."""

    def __init__(
        self,
        census: Census,
        now: Milliseconds,
        deliveries: Mapping[str, int] | None = None,
        memory_share: float = 0.0,
        *,
        names_tenants: bool = False,
    ) -> None:
        self._census, self._memory_share, self._names_tenants = census, memory_share, names_tenants
        self._deliveries = dict.fromkeys(STATES, 0) | dict(deliveries or {})
        self._oldest = max(0, now - (census.oldest_waiting_at or now)) / 1000

    def collect(self) -> Iterator[Metric]:
        """Every family, in an order that stays."""
        yield from self._jobs()
        yield from self._queue()
        yield from self._condition()
        census = self._census
        yield from _labelled("darkroom_upstream_in_flight", "Places held by upstream key", census.in_flight)
        yield from _labelled("darkroom_upstream_limit", "Places there are by upstream key", census.limits)
        yield from _labelled("darkroom_deliveries", "Deliveries to callers by state", self._deliveries, "state")
        yield from _labelled("darkroom_queue_messages", "Celery messages by queue", census.messages)

    def _jobs(self) -> Iterator[Metric]:
        by_status = {status.value: self._census.by_status.get(status.value, 0) for status in Status}
        yield from _labelled("darkroom_jobs", "Jobs by status", by_status, "status")
        steps = CounterMetricFamily("darkroom_steps", "Recorded steps by status and cause", labels=["status", "cause"])
        for (status_name, cause), times in self._census.steps.items():
            steps.add_metric([status_name, cause], times)
        yield steps

    def _queue(self) -> Iterator[Metric]:
        census = self._census
        yield GaugeMetricFamily("darkroom_waiting_jobs", "Jobs that wait for a place upstream", census.waiting)
        yield GaugeMetricFamily(
            "darkroom_oldest_waiting_seconds", "Age of the oldest job that waits for a place upstream", self._oldest
        )
        if self._names_tenants:
            yield from _labelled("darkroom_tenant_waiting_jobs", "Waiting jobs by tenant", census.tenants, "tenant")
        yield GaugeMetricFamily("darkroom_paused", "1 while an operator has paused everything", int(census.paused))
        yield GaugeMetricFamily("darkroom_overdue_seconds", "Age of the oldest due step", census.overdue_seconds)

    def _condition(self) -> Iterator[Metric]:
        """Whether callbacks, clock, stores and promises are as they should be."""
        census = self._census
        trusted = callbacks_arrive(census.callbacks, census.winning_polls)
        yield GaugeMetricFamily(
            "darkroom_callbacks_arrive", "0 while callbacks do not come, and polls do", int(trusted)
        )
        yield CounterMetricFamily("darkroom_clock_steps", "How often Redis' clock was set", census.clock_steps)
        yield GaugeMetricFamily(
            "darkroom_clock_ahead_seconds", "What our time still goes ahead of Redis' clock", census.clock_ahead_seconds
        )
        yield GaugeMetricFamily("darkroom_images_away", "1 while images cannot be stored", int(census.images_away))
        yield GaugeMetricFamily(
            "darkroom_redis_memory_share", "Used share of Redis' maxmemory; 0 where none is set", self._memory_share
        )
        yield GaugeMetricFamily(
            "darkroom_removals_failing", "Jobs and folders that could not be removed", census.removals_failing
        )
        yield from self._taking()
        yield GaugeMetricFamily("darkroom_audit_findings", "Findings of the last audit", census.audit_findings)

    def _taking(self) -> Iterator[Metric]:
        """Whether messages are taken from the queues, and what was none of ours."""
        parked = CounterMetricFamily(
            "darkroom_parked_messages", "Messages that were parked, by queue and reason", labels=["name", "why"]
        )
        for (queue, why), times in self._census.parked.items():
            parked.add_metric([queue, why], times)
        yield parked
        since = self._census.untaken_seconds
        yield from _labelled("darkroom_queue_untaken_seconds", "Since when no worker has looked at the queue", since)


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse,
            responses=problem_responses("unauthorized", "unavailable"))  # fmt: skip
async def metrics(request: Request) -> Response:
    """Counts over all processes; no label holds anything that a caller wrote.

    With `DARKROOM_METRICS_TOKEN` it asks for that token, and shows the tenants' names; without, nobody's.
    """
    here = state(request)
    token = here["settings"].metrics_token.get_secret_value()
    if token and not hmac.compare_digest(bearer_of(request).encode(), token.encode()):
        raise Problem("unauthorized", "Send the metrics token as `Authorization: Bearer <token>`.")
    registry = CollectorRegistry(auto_describe=False)
    store, deliveries = here["store"], await here["deliveries"].counts()
    census = await store.condition.census()
    share, names_tenants = here["memory"].share, bool(token)
    registry.register(CensusCollector(census, store.now(), deliveries, share, names_tenants=names_tenants))
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _labelled(name: str, help_text: str, values: Mapping[str, float], by: str = "name") -> Iterator[Metric]:
    family = GaugeMetricFamily(name, help_text, labels=[by])
    for label, value in values.items():
        family.add_metric([label], value)
    yield family
