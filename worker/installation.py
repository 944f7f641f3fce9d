"""The installation id: Redis and an image store that belong together have the same id.

A process that finds two different ids stops. Else it would report images as lost that are elsewhere, or remove records
without their images. The id is made at the first start. If only one side has it, the images decide: the other side
takes it if no image is recorded yet, or if a recorded image is in the store. Else an operator must decide (`darkroom
installation --adopt`).
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
from worker.images.chosen import open_store
from worker.images.store import ImageStore, NotStored, StoreError
from worker.store import keys
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect

FILE = "installation.json"
NEWEST_LOOKED_AT = 20
"""How many of the newest ended jobs are checked: a few lost images must not look like another store."""
LONGEST_AT_START_SECONDS = 10.0
PAUSE_SECONDS = 3.0

log = structlog.get_logger()


class OtherInstallation(Exception):
    """Redis and the image store do not belong together. The text is a sentence for the operator."""


@dataclass(frozen=True)
class Installation:
    """Redis and image store. Raises RedisUnavailable or StoreError if one of them is away."""

    lane: Lane
    store: JobStore
    images: ImageStore

    async def ids(self) -> tuple[str, str]:
        """(id in Redis, id in the image store); '' if there is none."""
        kept: bytes | None = await self.lane.call("GET", keys.INSTALLATION())
        return (kept or b"").decode(), await self._stored_id()

    async def check(self) -> None:
        """For a verb that changes both. Raises OtherInstallation unless both have the same id."""
        ours, theirs = await self.ids()
        if not ours or ours != theirs:
            raise OtherInstallation(_sentence(ours, theirs))

    async def join(self, *, adopt: bool = False) -> None:
        """For a process: makes the id, or takes that of the other side. Any number of processes may do it at once.

        Redis is written first; after a crash before the file is written, the next start writes it. Raises
        OtherInstallation; with `adopt` (the operator has decided) only if the ids differ.
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
        """Whether one of the newest recorded images is in the store; True if no image is recorded."""
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
    """Ends the process with one sentence if the two do not belong together. Does not wait if one is away."""
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
        log.warning("installation.not_checked", reason=str(error))  # join_in_time tries again
    finally:
        await lane.aclose()


async def join_in_time(installation: Installation) -> None:
    """For a running process: joins when both are there. If they do not belong together, stops the process."""
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
