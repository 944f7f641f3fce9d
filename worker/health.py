"""What a worker knows of the world around it: do callbacks arrive, can images be stored. Judged purely, by clock."""

import asyncio
from dataclasses import dataclass

import structlog

from worker.images.store import ImageStore, StoreError
from worker.store.jobs import JobStore

log = structlog.get_logger()

FEWEST_RESULTS = 5
"""Below that nothing is said of callbacks: one lost one is no outage."""
SMALLEST_SHARE = 0.2
LONGEST_CHECK_SECONDS = 5.0
STORE_AWAY_SECONDS = 15
"""How long a worker's word that the store is away holds: longer than the pause between two looks."""


def callbacks_arrive(callbacks: int, winning_polls: int) -> bool:
    """Whether callbacks can be trusted to come, by what came in the last minutes.

    Callbacks that come after a poll has won count as well, so that tightened polls cannot hide their return.
    """
    total = callbacks + winning_polls
    return total < FEWEST_RESULTS or callbacks / total >= SMALLEST_SHARE


@dataclass
class Health:
    """The latest findings of this process."""

    callbacks_trusted: bool = True
    images_away: str = ""

    async def look(self, store: JobStore, images: ImageStore) -> None:
        """Looks at both; says so once when something changes. Raises RedisUnavailable where Redis is away."""
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
