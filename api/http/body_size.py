"""The limit of body sizes, in bytes, counted while a body streams, because a declared length may be wrong."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.dialects import COMPATIBLE
from api.http.problem_answers import problem_response
from api.http.problems import Problem

WITHOUT_BODY = ("GET", "HEAD", "DELETE", "OPTIONS")
EMPTY: Message = {"type": "http.request", "body": b"", "more_body": False}


class BodyLimit:
    """ASGI middleware: 413 beyond the limit, 415 for a compressed body (a small one may unpack to anything).

    What is behind it never sees the body of a method that takes none, and cannot wait for it.
    """

    def __init__(self, app: ASGIApp, default_bytes: int, overrides: Mapping[str, int]) -> None:
        self._app = app
        self._default = default_bytes
        self._overrides = dict(overrides)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._overrides.get(scope["path"], self._default)
        takes_none = scope["method"] in WITHOUT_BODY and not scope["path"].startswith(COMPATIBLE)
        problem = _refusal(scope, limit, takes_none=takes_none)
        if problem:
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, _passed_over(receive, limit) if takes_none else _counted(receive, limit), send)


def _refusal(scope: Scope, limit: int, *, takes_none: bool) -> Problem | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:19]) > limit):
            return _too_large(limit)
        if name == b"content-encoding" and not takes_none and value.lower() != b"identity":
            return Problem("unsupported_media_type", "Send the body uncompressed.")
    return None


def _counted(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return counted


def _passed_over(receive: Receive, limit: int) -> Receive:
    """An empty body at once, then whatever else comes; a body without end is a client that has gone."""
    received = -1

    async def passed_over() -> Message:
        nonlocal received
        if received < 0:
            received = 0
            return EMPTY
        while (message := await receive())["type"] == "http.request":
            received += len(message["body"])
            if received > limit:
                return {"type": "http.disconnect"}
        return message

    return passed_over


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"A body here has at most {limit} bytes.", headers={"connection": "close"})
