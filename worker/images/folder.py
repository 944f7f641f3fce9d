"""Images in a local folder: each is complete and durable or absent, also after a power cut.

Written by us because obstore's local store renames without fsync (seen with strace, obstore 0.12.1): an image could be
lost although its job says `succeeded`.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.images.store import NotStored, Stored, StoreError, checked_key

CHUNK_BYTES = 256 * 1024
RESERVE_BYTES = 256 * 1024 * 1024
"""Free space below which nothing new is bought, so that images of jobs in progress still fit."""
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""For the user of API and workers only: manifests hold prompts."""


class LocalImages:
    """A folder. A crash leaves at most a temporary file that no key names; it is removed with its job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(self._save, checked_key(key), data)

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        path = self._folder / checked_key(key)
        size = await asyncio.to_thread(_size, path)
        return Stored(size, _read(path, start, size if end is None else end))

    async def delete(self, prefix: str) -> int:
        checked_key(f"{prefix}/x.json")
        return await asyncio.to_thread(_delete, self._folder / prefix)

    async def remove(self, key: str) -> None:
        await asyncio.to_thread(_remove, self._folder / checked_key(key))

    async def check(self) -> None:
        await asyncio.to_thread(self._check)

    async def address(self, key: str, seconds: int) -> str | None:
        return None

    def _save(self, key: str, data: bytes) -> None:
        path = self._folder / key
        with _disk_errors():
            path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            temporary = _written(path, data)
            temporary.rename(path)
            _sync_folders(path.parent, self._folder)

    def _check(self) -> None:
        with _disk_errors():
            self._folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            _written(self._folder / "probe", b"probe").unlink()
            free = shutil.disk_usage(self._folder).free
        if free < RESERVE_BYTES:
            raise StoreError(f"only {free // 2**20} MiB are free")


def _written(path: Path, data: bytes) -> Path:
    """A temporary file beside that path with the bytes on disk. Leaves no file if that fails."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise
    return temporary


def _sync_folders(folder: Path, root: Path) -> None:
    """File names must survive a power cut as well: fsyncs the file's folder and all above it, up to the root."""
    for each in (folder, *folder.parents):
        descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == root:
            return


def _delete(folder: Path) -> int:
    # another process may delete the same folder at the same time
    with _disk_errors(), suppress(FileNotFoundError):
        files = sum(1 for _ in folder.iterdir())
        shutil.rmtree(folder)
        return files
    return 0


def _remove(path: Path) -> None:
    with _disk_errors():
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    with _disk_errors():
        return path.stat(follow_symlinks=False).st_size


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    # opened with the first read, so that an answer that nobody reads leaves no file open
    descriptor = await asyncio.to_thread(_opened, path)
    try:
        while start < end and (chunk := await asyncio.to_thread(_part, descriptor, start, end)):
            start += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    with _disk_errors():
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _part(descriptor: int, start: int, end: int) -> bytes:
    with _disk_errors():
        return os.pread(descriptor, min(CHUNK_BYTES, end - start), start)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Translates errors of the disk into StoreError; the only place that does."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotStored("there is no such file") from error
    except OSError as error:
        raise StoreError(error.strerror or type(error).__name__) from error
