"""The limit of body sizes, in bytes, counted while a body streams, because a declared length may be wrong."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import Problem, problem_response


class BodyLimit:
    """ASGI middleware: 413 beyond the limit, 415 for a compressed body (a small one may unpack to anything)."""

    def __init__(self, app: ASGIApp, default_bytes: int, overrides: Mapping[str, int]) -> None:
        self._app = app
        self._default = default_bytes
        self._overrides = dict(overrides)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        limit = self._overrides.get(scope["path"], self._default)
        problem = _refusal(scope, limit)
        if problem:
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def _refusal(scope: Scope, limit: int) -> Problem | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:19]) > limit):
            return _too_large(limit)
        if name == b"content-encoding" and value.lower() != b"identity":
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


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"A body here has at most {limit} bytes.", headers={"connection": "close"})
