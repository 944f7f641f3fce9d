"""The interface of image stores: a local folder (folder.py) or S3 (bucket.py).

A store key is made of our ids and a hash only. A file under a key is complete or absent.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from worker.images.decoded import EXTENSIONS

KEY_PATTERN = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*\.(png|jpg|webp|json)")


KEY_HASH_DIGITS = 12


class StoreError(Exception):
    """The store cannot be written or read now. The text names no key and no secret."""


class NotStored(StoreError):
    """There is nothing under that key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file: its size in bytes, and an iterator over its bytes."""

    size: int
    chunks: AsyncIterator[bytes]


class ImageStore(Protocol):
    """All that the rest of Darkroom knows about storing images. A new backend has these methods."""

    async def save(self, key: str, data: bytes) -> None:
        """Makes the bytes durable under the key; replaces a file that was there. Raises StoreError."""

    async def open(self, key: str, start: int = 0, end: int | None = None) -> Stored:
        """The whole file's size and the bytes [start, end). Raises NotStored, StoreError."""
        ...

    async def delete(self, prefix: str) -> int:
        """Removes everything in a job's folder. Returns the number of files. Raises StoreError."""
        ...

    async def remove(self, key: str) -> None:
        """Removes one file, if it is there. Raises StoreError."""

    async def check(self) -> None:
        """Tests the store by a real write. Raises StoreError if it is away, full or read-only."""

    async def address(self, key: str, seconds: int) -> str | None:
        """A presigned address, valid for so many seconds; None if the API itself must serve the file."""
        ...


def image_key(folder: str, index: int, sha256: str, image_format: str) -> str:
    """The store key of one image. It contains the hash of the bytes, so that no writer overwrites another's image."""
    return f"{folder}/{index}-{sha256[:KEY_HASH_DIGITS]}.{EXTENSIONS[image_format]}"


def checked_key(key: str) -> str:
    """The key itself. Raises ValueError for any other shape: keys are made of our ids, so it is a bug or an attack."""
    if not KEY_PATTERN.fullmatch(key):
        raise ValueError("not a key of ours")
    return key
