"""Images in an S3 bucket, by obstore: one client for AWS and every S3-compatible server. See decision 0007."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from config.settings import Settings
from worker.images.decoded import CONTENT_TYPES, EXTENSIONS
from worker.images.store import NotStored, Stored, StoreError, checked_key

CHUNK_BYTES = 4 * 2**20
PART_BYTES = 8 * 2**20
"""A larger image is uploaded in parts of this size, so that a fault costs one part and no request exceeds its time-out.
"""
PARTS_AT_ONCE = 4
TIMEOUT = "20s"
CONNECT_TIMEOUT = "5s"
CHECK_SECONDS = 4.0
RETRIES: Any = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 3},
}
"""Few and short (obstore's default: 10 in 3 minutes): the job is collected again anyway, and `check` must answer."""
SERVERS_CODE = re.compile(r"<Code>(\w{1,40})</Code>")
SERVERS_STATUS = re.compile(r"status code: (\d{3})")
REFUSED = {"401", "403", "AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken"}


class S3Images:
    """A bucket. S3 itself guarantees that a put is whole or absent; correctness never depends on conditional puts."""

    def __init__(self, settings: Settings) -> None:
        self._store = _bucket(settings, settings.s3_endpoint)
        self._for_callers = _bucket(settings, settings.s3_public_endpoint or settings.s3_endpoint)

    async def save(self, key: str, data: bytes) -> None:
        """Stores the bytes and reads them back: `succeeded` comes after this, and a right size and tag prove too
        little.

        The signature of each request covers the hash of its bytes, so a change on the way to the server is noticed.
        """
        large = len(data) > PART_BYTES
        await self._put(checked_key(key), data, in_parts=large)
        kept = await self._gives_back(key, data)
        if large and not kept:
            # seen on a real server: it took every part, size and tag were right, but it returned the last part
            # repeatedly
            await self._put(key, data, in_parts=False)
            kept = await self._gives_back(key, data)
        if not kept:
            raise StoreError("the S3 store: it gives back other bytes than it took")

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        size = (await _asked(obstore.head_async(self._store, checked_key(key))))["size"]
        return Stored(size, self._read(key, start, size if end is None else end))

    async def delete(self, prefix: str) -> int:
        checked_key(f"{prefix}/x.json")
        listed = await _asked(obstore.list(self._store, prefix).collect_async())
        await _asked(obstore.delete_async(self._store, [row["path"] for row in listed]))
        return len(listed)

    async def remove(self, key: str) -> None:
        await _asked(obstore.delete_async(self._store, [checked_key(key)]))

    async def check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await _asked(obstore.put_async(self._store, "probe/ready.json", b"{}"))
        except TimeoutError as error:
            raise StoreError("the S3 store: it does not answer") from error

    async def address(self, key: str, seconds: int) -> str | None:
        """A presigned address. Type and file name are the object's own: obstore signs no `response-…` parameters."""
        signed: str = await _asked(
            obstore.sign_async(self._for_callers, "GET", checked_key(key), timedelta(seconds=seconds))
        )
        return signed

    async def _put(self, key: str, data: bytes, in_parts: bool) -> None:
        """One put. In parts, obstore aborts the upload when one of them fails."""
        put = obstore.put_async(
            self._store,
            key,
            data,
            attributes=_headers(key),
            use_multipart=in_parts,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )
        await _asked(put)

    async def _gives_back(self, key: str, data: bytes) -> bool:
        at = 0
        async for chunk in self._read(key, 0, len(data) + 1):
            if data[at : at + len(chunk)] != chunk:
                return False
            at += len(chunk)
        return at == len(data)

    async def _read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) by one request, so that all of them are of one version of the object."""
        if start >= end:
            return
        found = await _asked(obstore.get_async(self._store, key, options={"range": (start, end)} if start else None))
        at = start
        chunks = found.stream(CHUNK_BYTES).__aiter__()
        while at < end and (chunk := bytes(await _asked(anext(chunks, b"")))):
            yield chunk[: end - at]
            at += len(chunk)


def _bucket(settings: Settings, endpoint: str) -> S3Store:
    bucket, _, prefix = settings.images_url.removeprefix("s3://").partition("/")
    client: dict[str, Any] = {"timeout": TIMEOUT, "connect_timeout": CONNECT_TIMEOUT}
    options: dict[str, Any] = {"prefix": prefix or None, "retry_config": RETRIES, "client_options": client}
    if endpoint:
        client["allow_http"] = endpoint.startswith("http://")
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    return S3Store(bucket, **options)


def _headers(key: str) -> Any:
    """The headers that our own API would send; with a presigned address the bucket sends them."""
    folder, _, name = key.rpartition("/")
    extension = key.rpartition(".")[2]
    kind = next((CONTENT_TYPES[known] for known, ending in EXTENSIONS.items() if ending == extension), None)
    if kind is None:
        return {"Content-Type": "application/json"}
    index = name.partition(".")[0].partition("-")[0]  # the hash behind it is left out, as in the API's own answer
    file_name = f"{folder.rpartition('/')[2].upper()}-{index}.{name.rpartition('.')[2]}"
    return {
        "Content-Type": kind,
        "Content-Disposition": f'inline; filename="{file_name}"',
        "Cache-Control": "private, max-age=300, immutable",  # every presigned address is another one
    }


async def _asked(call: Any) -> Any:
    try:
        return await call
    except FileNotFoundError as error:
        raise NotStored("the S3 store: no such object, or no such bucket") from error
    except (BaseError, OSError) as error:
        reason = _reason(error)
        told = f"it refuses our credentials ({reason})" if reason in REFUSED else reason
        raise StoreError(f"the S3 store: {told}") from error


def _reason(error: Exception) -> str:
    """The server's error code only; the rest of its text contains the address and with it the key."""
    if isinstance(error, PermissionError):
        return "403"
    found = SERVERS_CODE.search(str(error)) or SERVERS_STATUS.search(str(error))
    return found[1] if found else type(error).__name__
