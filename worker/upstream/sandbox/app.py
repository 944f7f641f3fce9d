"""The sandbox's HTTP side: the documented paths and their variants, pictures, the bill, a page for people."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from typing import Any

import orjson
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.settings import Settings
from worker.upstream.sandbox import answers
from worker.upstream.sandbox.bill import Bill
from worker.upstream.sandbox.faults import MEANINGS, Faults, parse_faults
from worker.upstream.sandbox.generator import DEFAULT_FAILURE, RETRY_AFTER_SECONDS, Generator, QueueFull
from worker.upstream.sandbox.validation import SCHEDULERS, first_error
from worker.upstream.sandbox.work import Work

MOST_BODY_BYTES = 262_144
ENTERPRISE = "/api/v1/enterprise"
SUBMIT_PATHS = (f"{ENTERPRISE}/text2img", f"{ENTERPRISE}/images/text2img", f"{ENTERPRISE}/community/text2img",
                "/api/v6/images/text2img")  # fmt: skip
FETCH_PATHS = tuple(
    f"{head}{tail}"
    for head in (
        f"{ENTERPRISE}/fetch",
        f"{ENTERPRISE}/images/fetch",
        f"{ENTERPRISE}/community/fetch",
        "/api/v6/images/fetch",
    )
    for tail in ("", "/{request_id}")
)
VERBS = ("verify_model", "delete_model", "load_model", "clear_queue", "clear_cache", "restart_server", "update_server")


class Sandbox:
    """The endpoints over one generator and one bill."""

    def __init__(self, settings: Settings) -> None:
        self.bill = Bill()
        self.generator = Generator(settings, self.bill)
        self._limit = settings.sandbox_queue_limit
        self._keys = {key.strip() for key in settings.sandbox_key.get_secret_value().split(",")}

    async def submit(self, request: Request) -> Response:
        """POST /text2img and its variants."""
        content = await _content(request)
        refused = self._refused(content)
        if refused is not None or content is None:
            return _answer(refused or answers.error("Invalid API Request"))
        faults = parse_faults(str(content.get("prompt")))
        key, track_id = str(content["key"]), _track(content)
        early = self._early(content, faults, key, track_id)
        if early is not None:
            return early
        try:
            work = self.generator.take(key, content, faults)
        except QueueFull:
            self.bill.add(track_id, key, "429", None, taken=False)
            return _answer(answers.queue_full(self._limit, RETRY_AFTER_SECONDS), 429)
        self.bill.add(track_id, key, "taken", str(work.id), taken=True)
        return await self._taken(work, request)

    async def fetch(self, request: Request) -> Response:
        """POST /fetch and its variants."""
        content = await _content(request)
        if content is None or str(content.get("key")) not in self._keys:
            return _answer(answers.error("Invalid API key"))
        request_id = str(request.path_params.get("request_id") or content.get("request_id") or "")
        work = self.generator.work.get(int(request_id)) if request_id.isdigit() and len(request_id) < 18 else None
        if work is None or work.faults.fetch_404:
            return _answer(answers.not_found())
        if not work.told:
            return _answer(answers.fetched_pending())
        if work.faults.fail is not None:
            return _answer(answers.fetched_failed(work, _failure(work)))
        return _answer(answers.fetched(work, work.output(self.generator.base)))

    async def picture(self, request: Request) -> Response:
        """A picture, once it is done; 404 before that."""
        prefix, _, index_text = request.path_params["name"].rpartition("-")
        work = self.generator.by_prefix.get(prefix)
        if work is None or not work.done or not index_text.isdigit():
            return PlainTextResponse("Not Found", 404)
        index = int(index_text[:2])
        reads = work.reads[index] = work.reads.get(index, 0) + 1
        if reads <= work.faults.image_404:
            return PlainTextResponse("Not Found", 404)
        data = await asyncio.to_thread(work.picture, index)
        media_type = work.media_type
        if request.path_params["ending"] == "base64":
            data, media_type = b64encode(data), "text/plain"
        if reads - work.faults.image_404 <= work.faults.image_truncated:
            return StreamingResponse(
                _broken_off(data, request), media_type=media_type, headers={"content-length": str(len(data))}
            )
        return Response(data, media_type=media_type)

    async def show_bill(self, request: Request) -> Response:
        """GET /bill, whole or of one track_id."""
        return _answer(self.bill.shown(request.query_params.get("track_id")))

    async def reset(self, _request: Request) -> Response:
        """Empties the bill."""
        self.bill.rows.clear()
        self.bill.max_in_flight = 0
        return _answer({"status": "ok"})

    async def manage(self, request: Request) -> Response:
        """The management calls that make sense here."""
        content = await _content(request)
        if content is None or str(content.get("key")) not in self._keys:
            return _answer(answers.error("Invalid API key"))
        match request.path_params["name"]:
            case "system_details":
                return _answer({"model_count": 1, "queue_time": 0, "status": "ok"})
            case "schedulers_list":
                return _answer({"schedulers": list(SCHEDULERS)})
            case "get_all_models":
                return _answer(
                    {"models": [{"load_data": "01/25/2023 11:52:22", "model_id": "model_id"}], "status": "success"}
                )
            case name if name in VERBS:
                return _answer({"status": "success", "message": f"{name}: done, as far as a sandbox can"})
        return _answer({"message": ""}, 404)

    async def page(self, _request: Request) -> Response:
        """For people: what this is, the faults, the bill."""
        bill = self.bill.shown()
        rows = "".join(
            f"<tr><td><code>[[{name}]]</code></td><td>{escape(text)}</td></tr>" for name, text in MEANINGS.items()
        )
        return HTMLResponse(
            PAGE.format(taken=bill["taken"], posts=len(bill["posts"]), busy=bill["in_flight"], rows=rows)
        )

    def _refused(self, content: dict[str, Any] | None) -> dict[str, Any] | None:
        if content is None:
            return answers.error("Invalid API Request")
        if str(content.get("key")) not in self._keys:
            return answers.error("Invalid API key")
        problem = first_error(content)
        return answers.error(problem) if problem else None

    def _early(self, content: dict[str, Any], faults: Faults, key: str, track_id: str | None) -> Response | None:
        """The answers that take nothing, but for `http` with `taken`."""
        if faults.busy and self.generator.refuses_as_busy(str(content["prompt"]), faults.busy):
            self.bill.add(track_id, key, "429", None, taken=False)
            return _answer(answers.queue_full(self._limit or 5, 1), 429)
        if faults.reject is not None:
            self.bill.add(track_id, key, "rejected", None, taken=False)
            return _answer(answers.error(faults.reject))
        if faults.http is None:
            return None
        self.bill.add(track_id, key, str(faults.http), None, taken=faults.taken)
        if faults.taken:
            self.generator.start(self.generator.take(key, content, faults))
        return _answer(answers.error("Service temporarily unavailable. Please try again."), faults.http)

    async def _taken(self, work: Work, request: Request) -> Response:
        faults, base = work.faults, self.generator.base
        generating = self.generator.start(work)
        if faults.callback_first:
            await generating
        await asyncio.sleep(faults.answer_delay)
        if faults.accept_then_drop:
            return _dropped(request)
        if faults.sync:
            await asyncio.sleep(work.seconds)
            work.done = work.told = True
            return _answer(answers.success(work, work.output(base)))
        body = answers.processing(work, base)
        if faults.no_id:
            del body["id"]
        if faults.garbled:
            return Response(orjson.dumps(body)[:80], media_type="application/json")
        return _answer(body)


class HangingUp(HttpToolsProtocol):
    """uvicorn's protocol, with a way for an endpoint to drop the connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["hang_up"] = self.transport.close  # type: ignore[typeddict-unknown-key]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    if app.state.sandbox.generator.session:
        await app.state.sandbox.generator.session.close()


def create_sandbox(settings: Settings) -> Starlette:
    """The sandbox as an ASGI application; its bill is at `app.state.sandbox.bill`."""
    sandbox = Sandbox(settings)
    routes = [Route(path, sandbox.submit, methods=["POST"]) for path in SUBMIT_PATHS]
    routes += [Route(path, sandbox.fetch, methods=["POST"]) for path in FETCH_PATHS]
    routes += [
        Route("/generations/{name}.{ending}", sandbox.picture),
        Route("/bill", sandbox.show_bill),
        Route("/sandbox/reset", sandbox.reset, methods=["POST"]),
        Route(f"{ENTERPRISE}/{{name}}", sandbox.manage, methods=["POST"]),
        Route("/", sandbox.page),
    ]
    app = Starlette(routes=routes, lifespan=_lifespan, exception_handlers={404: _wrong_url, 405: _wrong_url})
    app.state.sandbox = sandbox
    return app


async def _wrong_url(_request: Request, error: Exception) -> Response:
    return _answer({"message": ""}, getattr(error, "status_code", 404))


async def _content(request: Request) -> dict[str, Any] | None:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY_BYTES:
                return None
        content = from_json(bytes(body))
    except (ValueError, ClientDisconnect):
        return None
    return content if isinstance(content, dict) else None


async def _broken_off(data: bytes, request: Request) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    request.scope["hang_up"]()


def _dropped(request: Request) -> Response:
    """No answer at all: the connection is gone before this response could leave."""
    request.scope["hang_up"]()
    return Response(status_code=500)


def _answer(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _track(content: dict[str, Any]) -> str | None:
    return None if content.get("track_id") is None else str(content["track_id"])


def _failure(work: Work) -> str:
    return work.faults.fail if work.faults.fail and work.faults.fail != "yes" else DEFAULT_FAILURE


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Darkroom sandbox</title>
<style>body{{font:16px/1.5 system-ui;max-width:52rem;margin:3rem auto;padding:0 1rem;background:#151013;color:#eee}}
h1{{color:#ff5a4a}}td{{padding:.15rem 1rem .15rem 0;vertical-align:top}}code{{color:#ffb3a8}}a{{color:#ff7a6b}}</style>
<h1>Sandbox upstream</h1><p>This is not the provider: nothing is generated by a model and nothing costs anything.</p>
<p>{posts} POSTs came, {taken} were taken (<a href="/bill">the bill</a>), {busy} are in work.</p>
<h2>Faults, asked for inside the prompt</h2><table>{rows}</table></html>"""
