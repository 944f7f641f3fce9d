"""What a worker knows of its surroundings: whether callbacks arrive, and whether images can be stored."""

import asyncio
from dataclasses import dataclass

import structlog

from worker.images.store import ImageStore, StoreError
from worker.store.jobs import JobStore

log = structlog.get_logger()

FEWEST_RESULTS = 5
"""With fewer results than this, callbacks are not judged: one that is lost is no outage."""
SMALLEST_SHARE = 0.2
LONGEST_CHECK_SECONDS = 5.0
STORE_AWAY_SECONDS = 15
"""How long a worker's report that the store is away is valid; longer than the pause between two checks."""


def callbacks_arrive(callbacks: int, winning_polls: int) -> bool:
    """Whether callbacks arrive, judged by what came in the last minutes.

    Callbacks that come after a poll has won count as well, so that more frequent polls cannot hide that callbacks are
    back.
    """
    total = callbacks + winning_polls
    return total < FEWEST_RESULTS or callbacks / total >= SMALLEST_SHARE


@dataclass
class Health:
    """The results of the last checks of this process."""

    callbacks_trusted: bool = True
    images_away: str = ""
    redis_answers_since: float | None = None
    """Since when Redis has answered every look (time.monotonic); None: it is away."""

    async def look(self, store: JobStore, images: ImageStore) -> None:
        """Checks both, and logs a change once. Raises RedisUnavailable if Redis is away."""
        reason = await _reason_away(images)
        if reason or self.images_away:
            await store.condition.note_images_away(reason or None, STORE_AWAY_SECONDS)
        if reason != self.images_away:
            log.warning("images.away" if reason else "images.back", reason=reason)
        self.images_away = reason
        callbacks, polls, _ = await store.condition.results()
        trusted = callbacks_arrive(callbacks, polls)
        if trusted != self.callbacks_trusted:
            event = "callbacks.back" if trusted else "callbacks.missing"
            log.warning(event, callbacks=callbacks, winning_polls=polls, help="darkroom doctor")
        self.callbacks_trusted = trusted


async def _reason_away(images: ImageStore) -> str:
    try:
        async with asyncio.timeout(LONGEST_CHECK_SECONDS):
            await images.check()
    except StoreError as error:
        return str(error)
    except TimeoutError:
        return "it does not answer"
    return ""
