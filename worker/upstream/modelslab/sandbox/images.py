"""Images over HTTP, with the faults of downloads."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from worker.upstream.modelslab.sandbox.server import hang_up
from worker.upstream.modelslab.sandbox.work import Work

FILE_NAME = re.compile(r"(?P<prefix>[0-9a-f-]{36})-(?P<index>\d)\.(?P<ending>[a-z0-9]{3,6})", re.ASCII)
DRIPS = 20


async def serve_image(request: Request, by_prefix: dict[str, Work]) -> Response:
    """The image at an address; 404 before it is done, if there is none, and after its address has expired."""
    named = FILE_NAME.fullmatch(request.path_params["name"])
    work = by_prefix.get(named["prefix"]) if named else None
    if named is None or work is None or not work.shows(int(named["index"]), named["ending"]):
        return PlainTextResponse("Not Found", 404)
    if work.faults.image_redirect:
        return RedirectResponse(work.faults.image_redirect, 302)
    index = int(named["index"])
    hit = work.faults.hits(index)
    reads = work.count_read(index) - (work.faults.image_404 if hit else 0)
    if reads <= 0:
        return PlainTextResponse("Not Found", 404)
    # painted at the first read, in a thread: images that nobody reads cost nothing
    data = await asyncio.to_thread(work.linked_image, index)
    if work.as_text:
        data = b64encode(data)
    media_type = "text/plain" if work.as_text else work.media_type
    whole = reads > work.faults.image_truncated or not hit
    if whole and not (work.faults.slow_drip and hit):
        return Response(data, media_type=media_type)
    chunks = _drips(data, work.faults.slow_drip) if whole else _broken_off(data, request)
    return StreamingResponse(chunks, media_type=media_type, headers={"content-length": str(len(data))})


async def _drips(data: bytes, seconds: float) -> AsyncIterator[bytes]:
    size = len(data) // DRIPS + 1
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(seconds / DRIPS)


async def _broken_off(data: bytes, request: Request) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    await hang_up(request)
