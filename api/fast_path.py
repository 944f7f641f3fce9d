"""The two busiest addresses (accept, and the upstream's callback) without the layers of the framework.

Endpoint functions, body limit and problems are the same as behind the framework, which keeps both routes for its
documentation; a test sends the same requests both ways. It saves about a third of the CPU of an accept.
"""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.endpoints.callbacks import PREFIX, receive_callback
from api.endpoints.jobs import create_job
from api.http.body_size import BodyLimit
from api.http.problem_answers import problem_of

Endpoint = Callable[[Request], Awaitable[Response]]


class FastPath:
    """ASGI middleware: handles its two addresses, passes everything else to the application."""

    def __init__(self, app: FastAPI, body_bytes: int) -> None:
        self._app = app
        self._accept = BodyLimit(_bare(create_job), body_bytes, {})
        self._callback = BodyLimit(_bare(_callback), body_bytes, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._chosen(scope)(scope, receive, send)

    def _chosen(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http" or scope["method"] != "POST":
            return self._app
        if scope["path"] == "/v1/jobs":
            return self._accept
        return self._callback if scope["path"].startswith(PREFIX) else self._app


def _bare(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:  # noqa: BLE001 - becomes a problem, and a log line where it is a bug
            response = problem_of(request, error)
        await response(scope, receive, send)

    return app


async def _callback(request: Request) -> Response:
    return await receive_callback(request.scope["path"].removeprefix(PREFIX), request)
