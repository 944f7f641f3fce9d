"""Answers that never change: made once, written from the same bytes for everybody, in front of the framework."""

import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

SLICE_BYTES = 64 * 1024


class Constant(NamedTuple):
    """A body and its header fields."""

    body: bytes
    etag: str
    headers: Sequence[tuple[bytes, bytes]]


def constant(
    body: bytes, media_type: str, cache_control: str = "no-cache", more: Mapping[str, str] | None = None
) -> Constant:
    """An answer with this body, and these header fields in small letters."""
    fields = {"content-type": media_type, "cache-control": cache_control, "x-content-type-options": "nosniff"}
    fields |= {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', **(more or {})}
    return Constant(body, fields["etag"], [(name.encode(), value.encode()) for name, value in fields.items()])


def constant_files(folder: Path, prefix: str) -> dict[str, Constant]:
    """The files of a folder by their addresses under the prefix."""
    return {
        f"{prefix}/{file.name}": constant(
            file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream", "max-age=3600"
        )
        for file in folder.iterdir()
        if file.is_file()
    }


class ConstantAnswers:
    """ASGI middleware: answers GET and HEAD of these addresses, hands everything else on."""

    def __init__(self, app: ASGIApp, answers: Mapping[str, Constant]) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if found is None or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        else:
            await _send_constant(found, scope, send)


async def _send_constant(answer: Constant, scope: Scope, send: Send) -> None:
    is_known = Headers(scope=scope).get("if-none-match") == answer.etag
    length = [] if is_known else [(b"content-length", str(len(answer.body)).encode())]
    headers = [*length, *answer.headers]
    await send({"type": "http.response.start", "status": 304 if is_known else 200, "headers": headers})
    body = memoryview(b"" if is_known else answer.body)  # no copy, however many do not read it
    for start in range(0, len(body), SLICE_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + SLICE_BYTES], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
