"""HEAD wherever there is GET, as HTTP has it: the same answer, whose body the server leaves out."""

from starlette.types import ASGIApp, Receive, Scope, Send

OWN_HEAD = "/images/"
"""An image answers HEAD itself, without opening anything."""


class HeadAsGet:
    """ASGI: what is behind it sees a GET. `is_head` in the scope tells those whose body would never end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and OWN_HEAD not in scope["path"]:
            scope = {**scope, "method": "GET", "is_head": True}
        await self._app(scope, receive, send)
