"""Which jobs a list or a bulk verb is about: one filter for both, so that what is listed is what is removed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.job.record import Job, Milliseconds, Status

EVERY_STATUS = frozenset(Status)
END_OF_TIME: Milliseconds = 2**53


@dataclass(frozen=True, slots=True)
class Filter:
    """What is not given matches every job. `metadata` has values as JSON writes them, text without its quotes."""

    statuses: frozenset[Status] = EVERY_STATUS
    track_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    after: Milliseconds = 0
    """Created then or later. This and `before` are for the store, which pages by time: not looked at by `matches`."""
    before: Milliseconds = END_OF_TIME
    """Created before then."""

    def matches(self, job: Job) -> bool:
        """Whether status, track_id and metadata fit."""
        order = job.order
        return (
            job.status in self.statuses
            and self.track_id in (None, order.track_id)
            and all(_written(order.metadata.get(key)) == value for key, value in self.metadata.items())
        )


def _written(value: object) -> str | None:
    """A value of `metadata` as JSON writes it, text without its quotes; None where there is none."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
