"""Images: their bytes with Range and ETag, or a redirect to the store. By API key, or by signed address."""

import re
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from api.finding import find_job
from api.http.problems import Problem, problem_responses
from api.state import State, state
from worker.images.decoded import CONTENT_TYPES
from worker.images.store import NotStored, StoreError
from worker.job.ids import is_job_id
from worker.job.record import Image, Milliseconds, Status
from worker.signing import check_image_signature
from worker.store.loaded import Loaded

router = APIRouter(prefix="/v1", tags=["images"])

REDIRECT_SECONDS = 300
ONE_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
    "accept-ranges": "bytes",
    "vary": "authorization",
}


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [start, end) of a file; `partial` if that is not the whole file."""

    start: int
    end: int
    partial: bool


@router.head("/jobs/{job_id}/images/{index}", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/images/{index}",
    summary="An image",
    response_class=Response,
    responses=problem_responses("unauthorized", "not_found", "range_not_satisfiable", "unavailable")
    | {
        200: {"content": {kind: {} for kind in CONTENT_TYPES.values()}},
        206: {"description": "The part asked for"},
        304: {"description": "It has not changed"},
        307: {"description": "The store's own address"},
    },
)
async def show_image(job_id: str, index: int, request: Request) -> Response:
    """The bytes, with `ETag` and one `Range`; needs a key, or `expires` and `signature` as `images[].url` has them."""
    here, found, until = await _find(job_id, index, request)
    image = next((each for each in found.job.images if each.index == index), None)
    if image is None or found.job.status is not Status.SUCCEEDED:
        raise Problem("not_found", "There is no such image.")
    headers = _headers(image, job_id) | {"cache-control": _kept(until, found.now)}
    if names(request.headers.getlist("if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    # HEAD is answered here: the store refuses HEAD for an address that is signed for GET
    if request.method == "GET" and (address := await here["images"].address(image.key, REDIRECT_SECONDS)):
        return RedirectResponse(address, 307, {"cache-control": "no-store"})
    return await _bytes(here, image, request, headers)


async def _find(job_id: str, index: int, request: Request) -> tuple[State, Loaded, Milliseconds | None]:
    """Finds the job by a valid signature, and until when it is valid; else by API key (None).

    With an expired signature the image does not exist.
    """
    given = request.query_params.get("signature")
    if given is None:
        return *await find_job(job_id, request, "read"), None
    here = state(request)
    expires = request.query_params.get("expires", "")
    at = int(expires) if expires.isascii() and expires.isdigit() and len(expires) < 16 else 0
    known = is_job_id(job_id) and check_image_signature(job_id, index, at, given, here["settings"].secrets)
    found = await here["store"].load(job_id) if known and at > here["store"].now() else None
    if found is None:
        raise Problem("not_found", "There is no such image.")
    return here, found, at


def _kept(until: Milliseconds | None, now: Milliseconds) -> str:
    """How long a caller's own cache may keep an image; no shared cache may.

    No longer than its address is valid. By API key it asks each time whether its ETag is still good, because a key may
    be revoked, and a job removed, meanwhile.
    """
    return "private, no-cache" if until is None else f"private, max-age={max(0, until - now) // 1000}, immutable"


async def _bytes(here: State, image: Image, request: Request, headers: dict[str, str]) -> Response:
    span = requested_span(_range(request, headers["etag"]), image.bytes)
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{image.bytes}"
    headers["content-length"] = str(span.end - span.start)
    status = 206 if span.partial else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    try:
        stored = await here["images"].open(image.key, span.start, span.end)
    except NotStored:
        raise Problem("not_found", "The image is no longer stored.") from None
    except StoreError as error:
        raise Problem("unavailable", "The image store does not answer.", headers={"retry-after": "5"}) from error
    return StreamingResponse(stored.chunks, status, headers)


def names(if_none_match: list[str], etag: str) -> bool:
    """Whether `If-None-Match` names this ETag, or `*`; by weak comparison, as RFC 9110 says."""
    given = {part.strip().removeprefix("W/") for line in if_none_match for part in line.split(",")}
    return "*" in given or etag in given


def _range(request: Request, etag: str) -> str | None:
    """The `Range`; None (the whole image) if `If-Range` holds another ETag, a weak one, or a date."""
    condition = request.headers.get("if-range")
    return request.headers.get("range") if condition is None or condition.strip() == etag else None


def requested_span(header: str | None, size: int) -> Span:
    """One range by RFC 9110; several or none mean the whole. Raises Problem `range_not_satisfiable`."""
    asked = ONE_RANGE.fullmatch(header.strip()) if header else None
    if asked is None or asked.groups() == ("", ""):
        return Span(0, size, False)
    first, last = asked.groups()
    if not first:
        return Span(max(0, size - int(last)), size, True) if int(last) else _unsatisfiable(size)
    start, end = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return Span(0, size, False)
    return Span(start, end, True) if start < size else _unsatisfiable(size)


def _unsatisfiable(size: int) -> Span:
    raise Problem("range_not_satisfiable", f"The image has {size} bytes.", headers={"content-range": f"bytes */{size}"})


def _headers(image: Image, job_id: str) -> dict[str, str]:
    extension = image.key.rpartition(".")[2]
    return SAFE_HEADERS | {
        "content-type": CONTENT_TYPES[image.format],
        "etag": f'"{image.sha256}"',
        "content-disposition": f'inline; filename="{job_id}-{image.index}.{extension}"',
    }
