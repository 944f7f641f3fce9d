"""A caller's job and its images: find it by id, wait for its end, read an image."""

from typing import Any

from fastapi import Request

from api.http.problems import Problem
from api.keys import authenticate
from api.state import State, state
from worker.images.store import NotStored, StoreError
from worker.job.ids import is_job_id
from worker.job.record import Image
from worker.shown.job import job_view
from worker.store.api_keys import Scope
from worker.store.lane import RedisUnavailable
from worker.store.loaded import Loaded


async def find_job(job_id: str, request: Request, scope: Scope) -> tuple[State, Loaded]:
    """The caller's job, for a key with that scope.

    Raises Problem `not_found`: another tenant's job is answered exactly like one that does not exist, at the same cost.
    """
    tenant, here = await authenticate(request, scope), state(request)
    found = await here["store"].view(job_id, tenant) if is_job_id(job_id) else None
    if found is None or found.job.order.tenant != tenant:
        raise Problem("not_found", "There is no such job.")
    return here, found


async def current_job(here: State, job_id: str) -> Loaded:
    """The job of an earlier accept, as it stands now. Raises Problem `not_found` where it has been deleted."""
    found = await here["store"].view(job_id)
    if found is None:
        raise Problem("not_found", "The job of this Idempotency-Key has been deleted.")
    return found


async def wait_for_end(request: Request, job_id: str, seconds: float) -> Loaded | None:
    """The job when it has ended, or as it is after so many seconds; None if it is gone.

    Raises Problem `unauthorized` or `forbidden` as soon as the request's key may no longer submit. The job goes on.
    """
    here = state(request)
    until = here["store"].now() + seconds * 1000
    async with here["watch"].follow(job_id) as follower:
        while (found := await here["store"].load(job_id)) and not found.job.is_terminal and found.now < until:
            if follower.ending:  # this process stops: the caller will ask another one
                break
            await follower.wait((until - found.now) / 1000)
            await authenticate(request, "submit")
    return found


def shown(found: Loaded, here: State) -> dict[str, Any]:
    """The job as every call of `/v1` answers it."""
    return job_view(found.job, found.timeline, here["viewer"], found.now, found.standing)


async def image_bytes(here: State, image: Image) -> bytes:
    """A whole image. Raises RedisUnavailable also if the image store does not answer: for a caller both are 503."""
    try:
        stored = await here["images"].open(image.key, 0, image.bytes)
        return b"".join([chunk async for chunk in stored.chunks])
    except (NotStored, StoreError) as error:
        raise RedisUnavailable("the image store") from error
