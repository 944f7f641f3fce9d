"""Requests in progress: the queue limit per key, the time that they take, callbacks over a real socket."""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import aiohttp
import orjson
import structlog

from config.settings import Settings
from worker.upstream.modelslab.sandbox import answers
from worker.upstream.modelslab.sandbox.bill import Bill
from worker.upstream.modelslab.sandbox.faults import Faults
from worker.upstream.modelslab.sandbox.work import Work

log = structlog.get_logger()

MOST_KEPT = 50_000
"""Requests that fetch still finds, finished or not; about 4 KB each. The bill keeps every row."""
CALLBACK_SECONDS = 30
CALLBACKS_AT_ONCE = 200


class QueueFull(Exception):
    """The key has as many requests in progress as its limit allows."""


class Generator:
    """All requests that were taken, by request id and by file prefix."""

    def __init__(self, settings: Settings, bill: Bill) -> None:
        self._settings = settings
        self._bill = bill
        self._ids = itertools.count(random.randrange(10**8, 2 * 10**8))
        self._running: set[asyncio.Task[None]] = set()
        self.posts_of_prompt: Counter[str] = Counter()
        self.work: dict[int, Work] = {}
        self._newest: tuple[int, str] = (999_999, "somebody-else")
        self._shared_ids: dict[str, int] = {}
        self.by_prefix: dict[str, Work] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def base(self) -> str:
        """The base address of the images."""
        settings = self._settings
        return settings.sandbox_public_url or f"http://{settings.sandbox_host}:{settings.sandbox_port}"

    def count_post(self, prompt: str) -> int:
        """Which POST of that prompt this is, from 1."""
        self.posts_of_prompt[prompt] += 1
        return self.posts_of_prompt[prompt]

    def find(self, request_id: object) -> Work | None:
        """The work of that id, as a number or as text."""
        text = str(request_id)
        return self.work.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 18 else None

    def take(self, key: str, request: dict[str, Any], faults: Faults) -> Work:
        """Takes a request. Raises QueueFull."""
        limit = self._settings.sandbox_queue_limit
        if limit and self._bill.in_flight[key] >= limit:
            raise QueueFull
        seconds = self._settings.sandbox_seconds if faults.delay is None else faults.delay
        webhook = str(request["webhook"]) if request.get("webhook") else None
        work = Work(self._id_for(faults), key, request, faults, seconds, request.get("track_id"), webhook)
        work.before, self._newest = self._newest, (work.id, str(work.track_id))
        self._keep(work)
        self._bill.begin(key)
        return work

    def _id_for(self, faults: Faults) -> int:
        if faults.same_id is None:
            return next(self._ids)
        return self._shared_ids.setdefault(faults.same_id, next(self._ids))

    def _keep(self, work: Work) -> None:
        """Keeps a request by its id (fetch finds the first one with it) and by the names of its images."""
        self.work.setdefault(work.id, work)
        self.by_prefix[work.prefix] = work
        if len(self.by_prefix) > MOST_KEPT:
            oldest = self.by_prefix.pop(next(iter(self.by_prefix)))
            self.work.pop(oldest.id, None)

    def start(self, work: Work) -> "asyncio.Task[None]":
        """Finishes a request after its time, in the background, and sends its callback."""
        task = asyncio.create_task(self._run(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _run(self, work: Work) -> None:
        try:
            await asyncio.sleep(work.seconds)
            work.finish()
        finally:
            self._bill.end(work.key)
        await asyncio.sleep(work.faults.late)
        work.told = True
        if work.webhook and not work.faults.no_callback:
            await self._call_back(work, work.webhook)

    async def _call_back(self, work: Work, webhook: str) -> None:
        faults = work.faults
        if faults.fail:
            true = answers.failed_callback(work, answers.repeating(faults.fail, work.request))
        else:
            true = answers.callback(work, work.output(self.base))
        bodies = [(webhook, true)] * max(1, faults.callback)
        if faults.in_between:
            bodies.insert(0, (webhook, answers.callback_in_between(work)))
        if faults.forged:
            bodies = [*_forged(webhook, true), *bodies]
        if faults.contradict == "first":
            bodies.insert(0, (webhook, answers.failed_callback(work, "contradicted") | {"id": work.id + 1}))
        elif faults.contradict:
            bodies.append((webhook, answers.failed_callback(work, "contradicted")))
        for address, body in bodies:
            await self._post(address, body)

    async def _post(self, address: str, body: dict[str, Any]) -> None:
        """Best effort, as documented: one try, and its result does not matter."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLBACKS_AT_ONCE))
        headers = {"content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=CALLBACK_SECONDS)
        try:
            async with self._session.post(address, data=orjson.dumps(body), headers=headers, timeout=timeout) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("sandbox.callback_lost", request_id=body.get("id"), error=type(error).__name__)

    async def aclose(self) -> None:
        """Cancels requests in progress and closes the connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


def _forged(webhook: str, true: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    lie = true | {"output": ["https://attacker.example/image.png"]}
    head, _, token = webhook.rpartition("/")
    wrong_token = f"{head}/{token[:-3]}{'AAA' if token[-3:] != 'AAA' else 'BBB'}"
    return [(wrong_token, lie), (webhook, lie | {"track_id": "somebody-else"}), (webhook, lie | {"id": 1})]
