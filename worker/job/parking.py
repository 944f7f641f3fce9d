"""Parking of poison images: an image on which decoders died is neither fetched nor decoded again. Pure.

A death is written with the outcome of its try, before the next try begins. A worker that dies itself before that write
is counted by the tick before it wakes the job again (`stalls`). So deaths are bounded, whatever dies.
"""

from collections import Counter
from dataclasses import replace

from worker.job.cost import images_of
from worker.job.record import Job

MOST_DEATHS = 3
"""The first ones may have been by chance: a machine without memory, a process that was stopped for a while."""


def with_deaths(job: Job, deaths: tuple[int, ...]) -> Job:
    """The job with more deaths of decoders, each as the index of the image that was being decoded."""
    return replace(job, decoder_deaths=(*job.decoder_deaths, *deaths)) if deaths else job


def parked(job: Job) -> frozenset[int]:
    """Indexes of the images that are given up."""
    return frozenset(index for index, times in Counter(job.decoder_deaths).items() if times >= MOST_DEATHS)


def is_given_up(job: Job) -> bool:
    """Whether no image is left to fetch: each is stored or parked, and at least one is parked."""
    if not (gone := parked(job)):
        return False
    expected = len(job.links) or images_of(job.order.request)
    return gone | {image.index for image in job.images} >= set(range(expected))
