"""Collecting: from recorded addresses to durable images (download, decode, hash, write). Knows nothing of statuses.

Correct even if several workers collect the same job: keys contain the hash, so no worker overwrites another's bytes.
The record takes one image for each index and never changes it. A worker whose files are not on the record removes them.
"""

import asyncio
from dataclasses import dataclass

import structlog

from worker.images.decoded import BrokenImage, DecodedImage
from worker.images.decoder import Decoder
from worker.images.download import DownloadError, ImageSource, decode_inline
from worker.images.manifest import manifest, manifest_key
from worker.images.store import ImageStore, StoreError, image_key
from worker.job.cost import images_of
from worker.job.folder import folder_of
from worker.job.record import Image, Job
from worker.upstream.chosen import PROVIDER

log = structlog.get_logger()

LONGEST_AT_WORK_SECONDS = 300.0
"""The longest time for downloading, decoding and storing a job's images; what is missing then is tried again."""


@dataclass(frozen=True)
class ImagePipeline:
    """Source, decoder and store of images."""

    source: ImageSource
    decoder: Decoder
    store: ImageStore

    async def aclose(self) -> None:
        """Closes connections and child processes."""
        await self.source.aclose()
        await self.decoder.aclose()


async def collect_images(pipeline: ImagePipeline, job: Job, inline: tuple[str, ...]) -> tuple[tuple[Image, ...], int]:
    """Stores every image of the job that is not stored yet, then the manifest of all that are stored.

    Returns the images that are durable now, by index, and the number that has an address but could not be stored this
    time. A crash here loses nothing: the next try stores them again. Files that the record never names are removed with
    the job.
    """
    samples = images_of(job.order.request)
    sources = (job.links or inline)[:samples]
    stored = {image.index: image for image in job.images}
    missing = [index for index in range(len(sources)) if index not in stored]
    found = await asyncio.gather(*(_keep(pipeline, job, index, sources[index], inline) for index in missing))
    stored.update({image.index: image for image in found if image})
    images = tuple(stored[index] for index in sorted(stored))
    outstanding = max(1, len(sources)) - len(images)
    if images != job.images or outstanding <= 0:
        outstanding += await _keep_manifest(pipeline.store, job, images)
    return images, max(0, outstanding)


async def keep_to_the_record(store: ImageStore, before: Job, images: tuple[Image, ...], after: Job | None) -> None:
    """Removes files that are not on the record `after` (None: the record is gone), and writes its manifest.

    Raises StoreError. A crash before this leaves files that no record names; they are removed with the job's folder.
    """
    if after is None or not (after.images or before.images):
        if images or after is None:
            await store.delete(folder_of(before))
        return
    named = {image.key for image in after.images}
    for image in images:
        if image.key not in named:
            log.warning("image.not_recorded", job_id=before.id, index=image.index)
            await store.remove(image.key)
    if images and after.images != images:
        await store.save(manifest_key(after), manifest(after, after.images))


async def _keep_manifest(store: ImageStore, job: Job, images: tuple[Image, ...]) -> int:
    """Writes the manifest, before the status becomes `succeeded`. Returns 1 where the store did not take it, else 0."""
    try:
        await store.save(manifest_key(job), manifest(job, images))
    except StoreError as error:
        log.warning("manifest.not_kept", job_id=job.id, reason=str(error))
        return 1
    return 0


async def _keep(pipeline: ImagePipeline, job: Job, index: int, source: str, inline: tuple[str, ...]) -> Image | None:
    try:
        async with asyncio.timeout(LONGEST_AT_WORK_SECONDS):
            data = decode_inline(source) if source in inline else await pipeline.source.get(source)
            decoded = await pipeline.decoder.inspect(data, job.order.tenant)
            key = image_key(folder_of(job), index, decoded.sha256, decoded.format)
            await pipeline.store.save(key, decoded.data)
    except (DownloadError, BrokenImage, StoreError, TimeoutError) as error:
        # tried again with growing pauses: the address may not be ready yet, or the disk may be full
        log.warning("image.not_kept", job_id=job.id, index=index, reason=f"{type(error).__name__}: {error}")
        return None
    return _image(job, index, key, decoded)


def _image(job: Job, index: int, key: str, decoded: DecodedImage) -> Image:
    return Image(
        index=index,
        key=key,
        sha256=decoded.sha256,
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
        bytes=len(decoded.data),
        seed=job.seed,
        nsfw=job.nsfw or (decoded.blank and PROVIDER.may_blank(job.order.request)),
    )
