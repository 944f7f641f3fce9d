"""The filter of lists and of bulk verbs: the same for both, so that the jobs removed are the jobs listed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.job.record import Job, Milliseconds, Order, Status

EVERY_STATUS = frozenset(Status)
END_OF_TIME: Milliseconds = 2**53


@dataclass(frozen=True, slots=True)
class Filter:
    """A field that is not given matches every job. `metadata` has values as in JSON, text without its quotes."""

    statuses: frozenset[Status] = EVERY_STATUS
    track_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    after: Milliseconds = 0
    """Created then or later (ms). The store uses this and `before`, because it pages by time; `matches` does not."""
    before: Milliseconds = END_OF_TIME
    """Created before then."""

    def matches(self, job: Job) -> bool:
        """Whether status, track_id and metadata fit."""
        return job.status in self.statuses and self.matches_order(job.order)

    def matches_order(self, order: Order) -> bool:
        """Whether track_id and metadata fit."""
        return self.track_id in (None, order.track_id) and all(
            _written(order.metadata.get(key)) == value for key, value in self.metadata.items()
        )


def _written(value: object) -> str | None:
    """A value of `metadata` as in JSON, text without its quotes; None if there is none."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
