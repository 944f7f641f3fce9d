"""Pictures in an S3 bucket, by obstore: one client for AWS and for whatever speaks like it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from config.settings import Settings
from worker.images.picture import CONTENT_TYPES, EXTENSIONS
from worker.images.store import NotStored, Stored, StoreError, checked_key

CHUNK_BYTES = 4 * 2**20
TIMEOUT = "20s"
RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
"""Few and short (obstore's own are 10 in 3 minutes): the job is tried again anyway, and `check` must answer."""


class S3Images:
    """A bucket. A put is whole or not there by S3's own promise; correctness never rests on conditional puts."""

    def __init__(self, settings: Settings) -> None:
        bucket, _, prefix = settings.images_url.removeprefix("s3://").partition("/")
        options: dict[str, Any] = {
            "prefix": prefix or None,
            "retry_config": RETRIES,
            "client_options": {"timeout": TIMEOUT},
        }
        if settings.s3_endpoint:
            plain = settings.s3_endpoint.startswith("http://")
            options["endpoint"] = settings.s3_endpoint
            options["virtual_hosted_style_request"] = False
            options["client_options"]["allow_http"] = plain
        self._store = S3Store(bucket, **options)

    async def save(self, key: str, data: bytes) -> None:
        kind = CONTENT_TYPES.get(_format_of(checked_key(key)), "application/json")
        await _asked(obstore.put_async(self._store, key, data, attributes={"Content-Type": kind}))

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        size = (await _asked(obstore.head_async(self._store, checked_key(key))))["size"]
        return Stored(size, self._read(key, start, size if end is None else end))

    async def delete(self, prefix: str) -> None:
        checked_key(f"{prefix}/x.json")
        listed = await _asked(obstore.list(self._store, prefix).collect_async())
        await _asked(obstore.delete_async(self._store, [row["path"] for row in listed]))

    async def check(self) -> None:
        await _asked(obstore.put_async(self._store, "probe/ready.json", b"{}"))

    async def address(self, key: str, seconds: int) -> str | None:
        signed: str = await _asked(obstore.sign_async(self._store, "GET", checked_key(key), timedelta(seconds=seconds)))
        return signed

    async def _read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        for at in range(start, end, CHUNK_BYTES):
            yield bytes(
                await _asked(obstore.get_range_async(self._store, key, start=at, end=min(end, at + CHUNK_BYTES)))
            )


async def _asked(call: Any) -> Any:
    try:
        return await call
    except FileNotFoundError as error:
        raise NotStored("S3: no such object, or no such bucket") from error
    except (BaseError, OSError) as error:
        raise StoreError(f"S3: {type(error).__name__}") from error


def _format_of(key: str) -> str:
    extension = key.rpartition(".")[2]
    return next((name for name, known in EXTENSIONS.items() if known == extension), "")
