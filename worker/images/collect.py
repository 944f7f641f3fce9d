"""From recorded addresses to durable pictures: fetch, decode, hash, write. Knows nothing of statuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from worker.images.decoder import Decoder
from worker.images.download import DownloadError, PictureSource, decode_inline
from worker.images.manifest import manifest, manifest_key
from worker.images.picture import BrokenPicture, Picture
from worker.images.store import ImageStore, StoreError, image_key
from worker.job import Image, Job
from worker.lane import Unavailable
from worker.store import JobStore

log = structlog.get_logger()

LONGEST_AT_WORK_SECONDS = 300.0
"""Longer than fetching, decoding and storing may take together. Who is at it longer is believed dead after all."""


@dataclass(frozen=True)
class Pictures:
    """Where pictures come from, who looks at them, where they go."""

    source: PictureSource
    decoder: Decoder
    store: ImageStore

    async def aclose(self) -> None:
        """Closes connections and child processes."""
        await self.source.aclose()
        await self.decoder.aclose()


async def collect_pictures(pictures: Pictures, job: Job, inline: tuple[str, ...]) -> tuple[tuple[Image, ...], int]:
    """Stores every picture of the job that is not stored yet.

    Returns all that are durable now, in order, and how many have an address but could not be stored this time.
    A crash here loses nothing: keys are made of our ids, so the next try writes the same bytes to the same place.
    """
    samples = int(job.order.request.get("samples") or 1)
    sources = (job.links or inline)[:samples]
    stored = {image.index: image for image in job.images}
    missing = [index for index in range(len(sources)) if index not in stored]
    found = await asyncio.gather(*(_keep(pictures, job, index, sources[index], inline) for index in missing))
    stored.update({image.index: image for image in found if image})
    images = tuple(stored[index] for index in sorted(stored))
    outstanding = max(1, len(sources)) - len(images)
    if outstanding <= 0:
        outstanding = await _keep_manifest(pictures, job, images)
    return images, max(0, outstanding)


@asynccontextmanager
async def at_work(store: JobStore, job: Job, lease_seconds: float) -> AsyncIterator[None]:
    """Says again and again that somebody is at this job: a store that hangs outlasts a lease, and nobody has died.

    Without it the job would end as `stalled`, paid, while its pictures wait. A crash here ends the saying.
    """
    saying = asyncio.create_task(_keep_saying(store, job, lease_seconds))
    try:
        yield
    finally:
        saying.cancel()


async def _keep_saying(store: JobStore, job: Job, lease_seconds: float) -> None:
    pause = lease_seconds / 3
    for _ in range(int(LONGEST_AT_WORK_SECONDS / pause)):
        await asyncio.sleep(pause)
        try:
            await store.still_at_work(job, int(lease_seconds * 1000))
        except Unavailable:  # what is recorded in the end waits for Redis as well
            continue


async def _keep_manifest(pictures: Pictures, job: Job, images: tuple[Image, ...]) -> int:
    """Written before the status says `succeeded`; a store that will not take it leaves the job outstanding."""
    try:
        await pictures.store.save(manifest_key(job), manifest(job, images))
    except StoreError as error:
        log.warning("manifest.not_kept", job_id=job.id, reason=str(error))
        return 1
    return 0


async def _keep(pictures: Pictures, job: Job, index: int, source: str, inline: tuple[str, ...]) -> Image | None:
    try:
        data = decode_inline(source) if source in inline else await pictures.source.get(source)
        picture = await pictures.decoder.inspect(data)
        key = image_key(job.order.tenant, job.order.created_at, job.id, index, picture.format)
        await pictures.store.save(key, picture.data)
    except (DownloadError, BrokenPicture, StoreError) as error:
        # tried again with growing pauses: the address may not be ready, the disk may be full for now
        log.warning("picture.not_kept", job_id=job.id, index=index, reason=f"{type(error).__name__}: {error}")
        return None
    return _image(job, index, key, picture)


def _image(job: Job, index: int, key: str, picture: Picture) -> Image:
    return Image(
        index=index,
        key=key,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        format=picture.format,
        bytes=len(picture.data),
        seed=job.seed,
        nsfw=job.nsfw or (picture.blank and job.order.request.get("safety_checker") != "no"),
    )
