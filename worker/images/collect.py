"""Collecting: from recorded addresses to durable images (download, decode, hash, write). Knows nothing of statuses.

Correct even if several workers collect the same job: keys contain the hash, so no worker overwrites another's bytes.
The record takes one image for each index and never changes it. A worker whose files are not on the record removes them.
"""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from worker.images.broken import BrokenImage, DeadlyImage
from worker.images.decoded import DecodedImage
from worker.images.decoder import Decoder
from worker.images.download import DownloadError, ImageSource, TooSlow, decode_inline
from worker.images.in_hand import InHand, TooMuchInHand
from worker.images.manifest import manifest, manifest_key
from worker.images.store import ImageStore, StoreError, image_key
from worker.job.cost import images_of
from worker.job.folder import folder_of
from worker.job.parking import parked, with_deaths
from worker.job.record import Image, Job
from worker.upstream.chosen import PROVIDER

log = structlog.get_logger()

LONGEST_AT_WORK_SECONDS = 300.0
"""The longest time for downloading, decoding and storing a job's images; what is missing then is tried again."""


@dataclass(frozen=True)
class ImagePipeline:
    """Source, decoder and store of images, and how many bytes of them are in hand."""

    source: ImageSource
    decoder: Decoder
    store: ImageStore
    in_hand: InHand

    async def aclose(self) -> None:
        """Closes connections and child processes."""
        await self.source.aclose()
        await self.decoder.aclose()


class Collected(NamedTuple):
    """What one collection has come to."""

    images: tuple[Image, ...]
    """All that are durable now, by index."""
    outstanding: int
    """How many have an address, could not be stored this time, and are to be tried again."""
    deaths: tuple[int, ...]
    """Indexes of the images on which a decoder died this time."""
    too_slow: bool
    """Whether an image came so slowly that it was given up."""


async def collect_images(pipeline: ImagePipeline, job: Job, inline: tuple[str, ...]) -> Collected:
    """Stores every image of the job that is not stored yet nor parked, then the manifest of all that are stored.

    A crash here loses nothing: the next try stores them again. Files that the record never names are removed with the
    job.
    """
    samples = images_of(job.order.request)
    sources = (job.links or inline)[:samples]
    stored = {image.index: image for image in job.images}
    missing = [index for index in range(len(sources)) if index not in stored and index not in parked(job)]
    found = await asyncio.gather(*(_keep(pipeline, job, index, sources[index], inline) for index in missing))
    stored.update({image.index: image for image in found if isinstance(image, Image)})
    images = tuple(stored[index] for index in sorted(stored))
    deaths = tuple(index for index, image in zip(missing, found, strict=True) if isinstance(image, DeadlyImage))
    given_up = parked(with_deaths(job, deaths)) - stored.keys()
    outstanding = max(1, len(sources)) - len(images) - len(given_up)
    if images != job.images or (images and outstanding <= 0):
        outstanding += await _keep_manifest(pipeline.store, job, images)
    return Collected(images, max(0, outstanding), deaths, any(isinstance(each, TooSlow) for each in found))


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


async def _keep(
    pipeline: ImagePipeline, job: Job, index: int, source: str, inline: tuple[str, ...]
) -> Image | Exception:
    """The image, or why it is not stored."""
    try:
        async with asyncio.timeout(LONGEST_AT_WORK_SECONDS), pipeline.in_hand.of(job.order.tenant) as hand:
            data = decode_inline(source) if source in inline else await pipeline.source.get(source, hand.take)
            decoded = await pipeline.decoder.inspect(data, job.order.tenant)
            key = image_key(folder_of(job), index, decoded.sha256, decoded.format)
            await pipeline.store.save(key, decoded.data)
    except (DownloadError, TooMuchInHand, BrokenImage, StoreError, TimeoutError) as error:
        # tried again with growing pauses: the address may not be ready yet, or the disk may be full
        log.warning("image.not_kept", job_id=job.id, index=index, reason=f"{type(error).__name__}: {error}")
        return error
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
