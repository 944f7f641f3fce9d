"""One installation is a Redis and an image store that belong together. An id, the same in both, says so: who finds two
different ones stops, instead of calling images lost that are elsewhere, or removing records and not their images.

It is made at first start. Where one of the two has none, the images decide: it joins the other if none is recorded
yet, or if one of those that are recorded lies there. Else somebody has to say so (`darkroom installation --adopt`).
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from dataclasses import dataclass

import structlog

from config.settings import Settings, stop
from worker.composition import job_store
from worker.images.store import ImageStore, NotStored, StoreError, open_store
from worker.store import keys
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect

FILE = "installation.json"
NEWEST_LOOKED_AT = 20
"""Of the jobs that ended last: lost images of a few must not look like another store."""
LONGEST_AT_START_SECONDS = 10.0
PAUSE_SECONDS = 3.0

log = structlog.get_logger()


class OtherInstallation(Exception):
    """Redis and the image store are not of one installation. The text is a sentence for the operator."""


@dataclass(frozen=True)
class Installation:
    """Both halves. Raises RedisUnavailable or StoreError where one of them is away."""

    lane: Lane
    store: JobStore
    images: ImageStore

    async def ids(self) -> tuple[str, str]:
        """The id in Redis and that in the image store; '' where there is none."""
        kept: bytes | None = await self.lane.call("GET", keys.INSTALLATION())
        return (kept or b"").decode(), await self._stored_id()

    async def check(self) -> None:
        """For a verb that touches both. Raises OtherInstallation unless they are known to belong together."""
        ours, theirs = await self.ids()
        if not ours or ours != theirs:
            raise OtherInstallation(_sentence(ours, theirs))

    async def join(self, *, adopt: bool = False) -> None:
        """For a process: makes the id, or adopts that of the other half; safe with any number of processes at once.

        Redis decides, and is written first: a crash before the file is made up for by the next start. Raises
        OtherInstallation; with `adopt`, by the operator's word, only where the ids differ.
        """
        ours, theirs = await self.ids()
        if not (ours and theirs) and not adopt and not await self._belong_together():
            raise OtherInstallation(_sentence(ours, theirs, known_wrong=True))
        if not ours:
            await self.lane.write("SET", keys.INSTALLATION(), theirs or secrets.token_hex(16), "NX")
            ours, theirs = await self.ids()
        if not theirs:
            await self.images.save(FILE, json.dumps({"id": ours}).encode())
            theirs = await self._stored_id()
        if ours != theirs:
            raise OtherInstallation(_sentence(ours, theirs))

    async def _stored_id(self) -> str:
        try:
            stored = await self.images.open(FILE)
            text = b"".join([chunk async for chunk in stored.chunks])
            return str(json.loads(text)["id"])
        except NotStored:
            return ""
        except (ValueError, KeyError, TypeError) as error:
            raise OtherInstallation(f"{FILE} in the image store cannot be read: {type(error).__name__}.") from error

    async def _belong_together(self) -> bool:
        """Whether one of the newest recorded images lies there; also where none is recorded."""
        ids = await self.lane.call("ZREVRANGE", keys.FINISHED(), 0, NEWEST_LOOKED_AT - 1)
        jobs = [await self.store.load(each.decode()) for each in ids]
        images = [image.key for loaded in jobs if loaded for image in loaded.job.images]
        return not images or any([await self._has(key) for key in images])

    async def _has(self, key: str) -> bool:
        try:
            await self.images.open(key)
        except NotStored:
            return False
        return True


def _sentence(ours: str, theirs: str, *, known_wrong: bool = False) -> str:
    if ours and theirs:
        return (
            f"DARKROOM_REDIS_URL is installation {ours[:8]}, DARKROOM_IMAGES_URL is {theirs[:8]}: "
            "set both to one installation's."
        )
    if not ours and not theirs and not known_wrong:
        return "this Redis and this image store have no installation yet: start the API or a worker on them once."
    return (
        "the image store of DARKROOM_IMAGES_URL is not known to be that of the Redis of DARKROOM_REDIS_URL: "
        "set one of them right, or, if they do belong together, say `darkroom installation --adopt`."
    )


def check_installation_at_start(settings: Settings) -> None:
    """Ends the process with one sentence where the halves do not belong together; waits for none that is away."""
    asyncio.run(_check_at_start(settings))


async def _check_at_start(settings: Settings) -> None:
    lane = Lane(connect(settings.redis_url.get_secret_value(), settings.redis_timeout_seconds),
                settings.redis_timeout_seconds, settings.redis_replicas)  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_AT_START_SECONDS):
            await Installation(lane, job_store(settings, lane), open_store(settings)).join()
    except OtherInstallation as error:
        stop(str(error))
    except (RedisUnavailable, StoreError, TimeoutError) as error:
        log.warning("installation.not_checked", reason=str(error))  # join_in_time goes on with it
    finally:
        await lane.aclose()


async def join_in_time(installation: Installation) -> None:
    """For a process that runs: joins once both halves are there. Where they are others, the process is told to stop."""
    while True:
        try:
            return await installation.join()
        except OtherInstallation as error:
            print(f"darkroom: {error}", file=sys.stderr)  # noqa: T201 - the sentence of the start, a little later
            os.kill(os.getpid(), signal.SIGTERM)
            return None
        except (RedisUnavailable, StoreError) as error:
            log.info("installation.waits", reason=str(error))
        await asyncio.sleep(PAUSE_SECONDS)
