"""Which of some jobs may match a filter: decided in Redis, so that records that do not match are not sent."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

from worker.job.codec import decode_order
from worker.job.filter import EVERY_STATUS, Filter
from worker.store.lane import Lane
from worker.store.script import script


class OrderRow(NamedTuple):
    """A job's id and its order, encoded."""

    id: str
    order: bytes


class OrdersReply(NamedTuple):
    """In the order in which their ids were given."""

    rows: tuple[OrderRow, ...]


@script
def orders(*, statuses: str, words: bytes, job_ids: Sequence[str]) -> OrdersReply:
    """Of those jobs the ones in one of the statuses (with spaces between), whose order holds all words (JSON)."""


async def matching(lane: Lane, wanted: Filter, job_ids: Sequence[str]) -> Sequence[str]:
    """Those of the jobs that match now, in their order. Raises RedisUnavailable."""
    if wanted.statuses == EVERY_STATUS and wanted.track_id is None and not wanted.metadata:
        return job_ids
    words = orjson.dumps(list(_words(wanted)))
    reply = await lane.run(orders, statuses=" ".join(wanted.statuses), words=words, job_ids=job_ids)
    return [row.id for row in reply.rows if wanted.matches_order(decode_order(row.order))]


def _words(wanted: Filter) -> Iterator[str]:
    """What an order that matches holds somewhere: its values as they stand in its JSON."""
    for text in (wanted.track_id, *wanted.metadata, *wanted.metadata.values()):
        if text is not None:
            yield orjson.dumps(text).decode()[1:-1]
