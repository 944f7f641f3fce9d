"""HEAD wherever there is GET: the same answer, and the server leaves out its body."""

from starlette.types import ASGIApp, Receive, Scope, Send

OWN_HEAD = "/images/"
"""Addresses of images handle HEAD themselves, without opening the file."""


class HeadAsGet:
    """ASGI middleware: the application sees a GET. `is_head` in the scope tells endpoints with endless bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and OWN_HEAD not in scope["path"]:
            scope = {**scope, "method": "GET", "is_head": True}
        await self._app(scope, receive, send)
