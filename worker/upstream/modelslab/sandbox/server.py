"""The sandbox's HTTP server: uvicorn that can drop a connection, with limited bodies and JSON answers."""

from typing import Any

import orjson
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BODY_BYTES = 262_144
BACKLOG = 4096


class HangingUp(HttpToolsProtocol):
    """uvicorn's protocol, with a way for an endpoint to drop the connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["hang_up"] = self.transport.close  # type: ignore[typeddict-unknown-key]


def build_server(app: ASGIApp) -> uvicorn.Server:
    """A server to run on a socket that already listens. SIGTERM ends it within two seconds."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=HangingUp,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


async def hang_up(request: Request) -> Response:
    """Drops the connection. The response that it returns is never sent."""
    request.scope["hang_up"]()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=500)


async def read_content(request: Request) -> dict[str, Any] | None:
    """The JSON object in a body; None for anything else, or beyond MOST_BODY_BYTES."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY_BYTES:
                return None
        content = orjson.loads(body)
    except (ValueError, ClientDisconnect):
        return None
    return content if isinstance(content, dict) else None


def as_json(content: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(content), status, media_type="application/json")
