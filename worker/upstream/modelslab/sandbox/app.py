"""The sandbox's endpoints: the documented paths and their variants, images, the bill, a page for people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from config.settings import Settings
from worker.upstream.modelslab.sandbox import answers
from worker.upstream.modelslab.sandbox.bill import Bill
from worker.upstream.modelslab.sandbox.faults import Faults, parse_faults
from worker.upstream.modelslab.sandbox.generator import Generator, QueueFull
from worker.upstream.modelslab.sandbox.images import serve_image
from worker.upstream.modelslab.sandbox.instead import BUSY, Instead, gateway_page, shown_instead, what_comes_instead
from worker.upstream.modelslab.sandbox.management import management_answer
from worker.upstream.modelslab.sandbox.page import render_page
from worker.upstream.modelslab.sandbox.server import as_json, hang_up, read_content
from worker.upstream.modelslab.sandbox.validation import first_error
from worker.upstream.modelslab.sandbox.work import Work

ENTERPRISE = "/api/v1/enterprise"
FAMILIES = (ENTERPRISE, f"{ENTERPRISE}/images", f"{ENTERPRISE}/community", "/api/v6/images")
DOCUMENTED_LIMIT = 5
HALF_AN_ANSWER_BYTES = 80


class Sandbox:
    """The endpoints over one generator and one bill."""

    def __init__(self, settings: Settings) -> None:
        self.bill = Bill()
        self.generator = Generator(settings, self.bill)
        self._limit = settings.sandbox_queue_limit
        self._accounts = _accounts(settings.sandbox_key.get_secret_value())

    async def submit(self, request: Request) -> Response:
        """POST /text2img and its variants. Every POST becomes a row of the bill."""
        content = await read_content(request) or {}
        key, track_id = str(content.get("key")), _track(content)
        faults = parse_faults(str(content.get("prompt")))
        refusal = self._refusal(content, faults)
        if refusal is not None:
            self.bill.add(track_id, key, "refused", None, taken=False)
            return as_json(refusal, faults.http or 200)
        instead = what_comes_instead(faults, self._nth_post(content["prompt"], faults))
        if instead and not instead.taken:
            return self._not_taken(track_id, key, instead)
        try:
            work = self.generator.take(key, content, faults)
        except QueueFull:
            return self._not_taken(track_id, key, Instead(BUSY))
        status = str(instead.status) if instead else "taken"
        self.bill.add(track_id, key, status, str(work.id), taken=True, made=work.made)
        generating = self.generator.start(work)
        return self._shown(instead) if instead else await self._answer(work, generating, request)

    async def fetch(self, request: Request) -> Response:
        """POST /fetch and its variants: the id is in the path or in the body."""
        content = await read_content(request) or {}
        if str(content.get("key")) not in self._accounts:
            return as_json(answers.error("Invalid API key"))
        work = self.generator.find(request.path_params.get("request_id") or content.get("request_id"))
        account = self._accounts[content["key"]]
        if work is None or self._accounts[work.key] != account or work.faults.fetch_404:
            return as_json(answers.not_found())
        if work.faults.fetch_gateway:
            return gateway_page(work.faults.fetch_gateway)
        if not work.told:
            return as_json(answers.fetched_pending())
        if work.faults.fail:
            return as_json(answers.fetched_failed(work, answers.repeating(work.faults.fail, work.request)))
        work.renew()
        return as_json(answers.fetched(work, work.output(self.generator.base)))

    async def image(self, request: Request) -> Response:
        """GET of an image."""
        return await serve_image(request, self.generator.by_prefix)

    async def show_bill(self, request: Request) -> Response:
        """GET /bill, whole or of one track_id."""
        return as_json(self.bill.shown(request.query_params.get("track_id")))

    async def reset(self, _request: Request) -> Response:
        """Empties the bill. Requests in progress continue."""
        self.bill.clear()
        self.generator.posts_of_prompt.clear()
        return as_json({"status": "ok"})

    async def manage(self, request: Request) -> Response:
        """The management calls."""
        content = await read_content(request) or {}
        if str(content.get("key")) not in self._accounts:
            return as_json(answers.error("Invalid API key"))
        answer = management_answer(request.path_params["name"])
        return as_json(answers.WRONG_URL, 404) if answer is None else as_json(answer)

    async def page(self, _request: Request) -> Response:
        """GET /."""
        return HTMLResponse(render_page(self.bill))

    def _refusal(self, content: dict[str, Any], faults: Faults) -> dict[str, Any] | None:
        if not content:
            return answers.invalid_request()
        if str(content.get("key")) not in self._accounts:
            return answers.error("Invalid API key")
        problem = first_error(content) or answers.repeating(faults.reject or "", content)
        return answers.error(problem) if problem else None

    def _nth_post(self, prompt: str, faults: Faults) -> int:
        return self.generator.count_post(prompt) if faults.counts_posts else 1

    def _not_taken(self, track_id: str | None, key: str, instead: Instead) -> Response:
        self.bill.add(track_id, key, str(instead.status), None, taken=False)
        return self._shown(instead)

    def _shown(self, instead: Instead) -> Response:
        return shown_instead(instead, self._limit or DOCUMENTED_LIMIT)

    async def _answer(self, work: Work, generating: "asyncio.Task[None]", request: Request) -> Response:
        faults, base = work.faults, self.generator.base
        if faults.callback_first:
            await asyncio.shield(generating)
        await asyncio.sleep(faults.answer_delay)
        if faults.accept_then_drop:
            return await hang_up(request)
        if faults.sync or faults.inline_and_links:
            await asyncio.sleep(work.seconds)
            work.finish()
            work.told = True
            output = work.inline() if faults.inline_and_links else work.output(base)
            return as_json(answers.failed() if faults.fail else answers.success(work, output))
        body = answers.processing(work, base)
        if faults.no_id:
            del body["id"]
        if faults.garbled:
            return Response(orjson.dumps(body)[:HALF_AN_ANSWER_BYTES], media_type="application/json")
        return as_json(body)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.sandbox.generator.aclose()


def create_sandbox(settings: Settings) -> Starlette:
    """The sandbox as an ASGI application, to be run by server.build_server."""
    sandbox = Sandbox(settings)
    routes = [Route(f"{family}/text2img", sandbox.submit, methods=["POST"]) for family in FAMILIES]
    routes += [
        Route(f"{family}/fetch{tail}", sandbox.fetch, methods=["POST"])
        for family in FAMILIES
        for tail in ("", "/{request_id}")
    ]
    routes += [
        Route("/generations/{name}", sandbox.image),
        Route("/temp/{name}", sandbox.image),
        Route("/bill", sandbox.show_bill),
        Route("/sandbox/reset", sandbox.reset, methods=["POST"]),
        Route(f"{ENTERPRISE}/{{name}}", sandbox.manage, methods=["POST"]),
        Route("/", sandbox.page),
    ]
    app = Starlette(routes=routes, lifespan=_lifespan, exception_handlers={404: _wrong_url, 405: _wrong_url})
    app.state.sandbox = sandbox
    return app


async def _wrong_url(_request: Request, error: Exception) -> Response:
    return as_json(answers.WRONG_URL, getattr(error, "status_code", 404))


def _accounts(keys: str) -> dict[str, int]:
    """Key → number of its account: a rotated key can fetch what the key before it has submitted."""
    return {key.strip(): number for number, account in enumerate(keys.split(",")) for key in account.split("/")}


def _track(content: dict[str, Any]) -> str | None:
    return None if content.get("track_id") is None else str(content["track_id"])
