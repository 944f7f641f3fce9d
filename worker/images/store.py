"""Where finished images are kept: a local folder or S3, behind one small interface.

A key is made of our ids and a hash only, and what is under it is whole or not there.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from config.settings import Settings
from worker.images.decoded import EXTENSIONS

KEY_PATTERN = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*\.(png|jpg|webp|json)")


KEY_HASH_DIGITS = 12


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

    async def delete(self, prefix: str) -> int:
        """Removes everything under a job's folder; how many files that were. Raises StoreError."""
        ...

    async def remove(self, key: str) -> None:
        """Removes one file; nothing there is fine. Raises StoreError."""

    async def check(self) -> None:
        """A real write. Raises StoreError where the store is away, full or read-only."""

    async def address(self, key: str, seconds: int) -> str | None:
        """A fresh address that the store itself answers, or None where it has none."""
        ...


def image_key(folder: str, index: int, sha256: str, image_format: str) -> str:
    """The key of one image in its job's folder. It carries the hash of the bytes: no writer overwrites another's."""
    return f"{folder}/{index}-{sha256[:KEY_HASH_DIGITS]}.{EXTENSIONS[image_format]}"


def open_store(settings: Settings) -> ImageStore:
    """The store that the settings name. Opens no connection."""
    # here, because both build on this module, and who keeps images in a folder need not load an S3 client
    if folder := settings.images_folder:
        from worker.images.folder import LocalImages

        return LocalImages(folder)
    from worker.images.bucket import S3Images

    return S3Images(settings)


def checked_key(key: str) -> str:
    """Keys are made of our own ids; anything else is a bug or an attack, so it is loud."""
    if not KEY_PATTERN.fullmatch(key):
        raise ValueError("not a key of ours")
    return key
