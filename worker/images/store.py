"""Where finished pictures are kept: a local folder or S3, behind one small interface.

A key is made of our ids only, and what is under it is whole or not there. The folder is written by us because obstore's
local store renames without fsync (seen with strace, obstore 0.12.1): a picture could be gone after a power cut although
its job says `succeeded`. S3 is obstore's.
"""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from config.settings import Settings
from worker.images.picture import CONTENT_TYPES, EXTENSIONS
from worker.job import Milliseconds

KEY_PATTERN = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*\.(png|jpg|webp|json)")
CHUNK_BYTES = 256 * 1024
RESERVE_BYTES = 256 * 1024 * 1024
"""Free space below which nothing new is bought: what is under way must still fit."""
S3_TIMEOUT = "20s"


class StoreError(Exception):
    """The store cannot be written or read now. The text names no key and no secret."""


class NotStored(StoreError):
    """There is nothing under that key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file: its size, and what makes its bytes flow."""

    size: int
    chunks: AsyncIterator[bytes]


class ImageStore(Protocol):
    """What the rest of the product knows of storing."""

    async def save(self, key: str, data: bytes) -> None:
        """Makes the bytes durable under the key, replacing what was there. Raises StoreError."""

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        """The whole file's size and the bytes [start, end). Raises NotStored, StoreError."""
        ...

    async def delete(self, prefix: str) -> None:
        """Removes everything under a job's folder."""

    async def check(self) -> None:
        """A real write. Raises StoreError where the store is away, full or read-only."""

    async def address(self, key: str, seconds: int) -> str | None:
        """A fresh address that the store itself answers, or None where it has none."""
        ...


def job_folder(tenant: str, created_at: Milliseconds, job_id: str) -> str:
    """`tenant/2026/11/23/<job id>`: the folder of one job's pictures and manifest."""
    day = datetime.fromtimestamp(created_at / 1000, UTC).strftime("%Y/%m/%d")
    return f"{tenant}/{day}/{job_id.lower()}"


def image_key(tenant: str, created_at: Milliseconds, job_id: str, index: int, picture_format: str) -> str:
    """The key of one picture."""
    return f"{job_folder(tenant, created_at, job_id)}/{index}.{EXTENSIONS[picture_format]}"


def open_store(settings: Settings) -> ImageStore:
    """The store that the settings name. Opens no connection."""
    folder = settings.images_folder
    return LocalImages(folder) if folder else S3Images(settings)


class LocalImages:
    """A folder. A crash leaves at most a temporary file that no key ever names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(self._save, _checked(key), data)

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        path = self._folder / _checked(key)
        try:
            size = (await asyncio.to_thread(path.stat, follow_symlinks=False)).st_size
        except FileNotFoundError as error:
            raise NotStored from error
        except OSError as error:
            raise StoreError(error.strerror or "cannot be read") from error
        return Stored(size, _read(path, start, size if end is None else end))

    async def delete(self, prefix: str) -> None:
        _checked(f"{prefix}/x.json")
        await asyncio.to_thread(shutil.rmtree, self._folder / prefix, True)

    async def check(self) -> None:
        await asyncio.to_thread(self._check)

    async def address(self, key: str, seconds: int) -> str | None:
        return None

    def path(self, key: str) -> Path:
        """Where the file is on this machine."""
        return (self._folder / _checked(key)).resolve()

    def _save(self, key: str, data: bytes) -> None:
        path = self._folder / key
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(temporary, data)
            temporary.rename(path)
            _sync_folders(path.parent, self._folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(error.strerror or type(error).__name__) from error

    def _check(self) -> None:
        probe = self._folder / f".probe.{secrets.token_hex(6)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_durably(probe, b"probe")
            probe.unlink()
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            probe.unlink(missing_ok=True)
            raise StoreError(error.strerror or type(error).__name__) from error
        if free < RESERVE_BYTES:
            raise StoreError(f"only {free // 2**20} MiB are free")


class S3Images:
    """A bucket. A put is whole or not there by S3's own promise; correctness never rests on conditional puts."""

    def __init__(self, settings: Settings) -> None:
        bucket, _, prefix = settings.images_url.removeprefix("s3://").partition("/")
        options: dict[str, Any] = {"prefix": prefix or None, "client_options": {"timeout": S3_TIMEOUT}}
        if settings.s3_endpoint:
            plain = settings.s3_endpoint.startswith("http://")
            options["endpoint"] = settings.s3_endpoint
            options["virtual_hosted_style_request"] = False
            options["client_options"]["allow_http"] = plain
        self._store = S3Store(bucket, **options)

    async def save(self, key: str, data: bytes) -> None:
        kind = CONTENT_TYPES.get(_format_of(_checked(key)), "application/json")
        await _asked(obstore.put_async(self._store, key, data, attributes={"Content-Type": kind}))

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        size = (await _asked(obstore.head_async(self._store, _checked(key))))["size"]
        return Stored(size, self._read(key, start, size if end is None else end))

    async def delete(self, prefix: str) -> None:
        _checked(f"{prefix}/x.json")
        listed = await _asked(obstore.list(self._store, prefix).collect_async())
        for row in listed:
            await _asked(obstore.delete_async(self._store, row["path"]))

    async def check(self) -> None:
        await _asked(obstore.put_async(self._store, "probe/ready.json", b"{}"))

    async def address(self, key: str, seconds: int) -> str | None:
        signed: str = await _asked(obstore.sign_async(self._store, "GET", _checked(key), timedelta(seconds=seconds)))
        return signed

    async def _read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        for at in range(start, end, 4 * 2**20):
            yield bytes(await _asked(obstore.get_range_async(self._store, key, start=at, end=min(end, at + 4 * 2**20))))


async def _asked(call: Any) -> Any:
    try:
        return await call
    except FileNotFoundError as error:
        raise NotStored from error
    except (BaseError, OSError) as error:
        raise StoreError(f"S3: {type(error).__name__}") from error


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    # opened with the first byte, so that an answer that nobody reads leaves nothing open
    descriptor = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        at = start
        while at < end:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(CHUNK_BYTES, end - at), at)
            if not chunk:
                return
            at += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folders(folder: Path, root: Path) -> None:
    """The names must survive as well as the bytes: of the file in its folder, of each new folder in its parent."""
    for each in (folder, *folder.parents):
        descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == root:
            return


def _checked(key: str) -> str:
    """Keys are made of our own ids; anything else is a bug or an attack, so it is loud."""
    if not KEY_PATTERN.fullmatch(key):
        raise ValueError("not a key of ours")
    return key


def _format_of(key: str) -> str:
    extension = key.rpartition(".")[2]
    return next((name for name, known in EXTENSIONS.items() if known == extension), "")
