"""Work in flight: places per key, time that passes, callbacks over a real socket."""

import asyncio
import itertools
import random
from collections import OrderedDict
from typing import Any

import aiohttp
import orjson

from config.settings import Settings
from worker.upstream.sandbox import answers
from worker.upstream.sandbox.bill import Bill
from worker.upstream.sandbox.faults import Faults
from worker.upstream.sandbox.work import Work

KEPT_WORK = 200_000
CALLBACK_SECONDS = 30
RETRY_AFTER_SECONDS = 3
DEFAULT_FAILURE = "Processing failed: out of memory"


class QueueFull(Exception):
    """The key has as much in work as it may."""


class Generator:
    """Everything that was taken, by request id and by file prefix."""

    def __init__(self, settings: Settings, bill: Bill) -> None:
        self._settings = settings
        self._bill = bill
        self._ids = itertools.count(random.randrange(10**8, 2 * 10**8))
        self._running: set[asyncio.Task[None]] = set()
        self._busy: dict[str, int] = {}
        self.work: OrderedDict[int, Work] = OrderedDict()
        self.by_prefix: dict[str, Work] = {}
        self.session: aiohttp.ClientSession | None = None
        self.lost_callbacks = 0
        self.last_lost = ""

    @property
    def base(self) -> str:
        """Where the pictures are reached."""
        settings = self._settings
        return settings.sandbox_public_url or f"http://{settings.sandbox_host}:{settings.sandbox_port}"

    def refuses_as_busy(self, prompt: str, times: int) -> bool:
        """Whether this POST is among the first `times` of that prompt."""
        seen = self._busy[prompt] = self._busy.get(prompt, 0) + 1
        return seen <= times

    def take(self, key: str, request: dict[str, Any], faults: Faults) -> Work:
        """Takes a request. Raises QueueFull."""
        limit = self._settings.sandbox_queue_limit
        if limit and self._bill.in_flight[key] >= limit:
            raise QueueFull
        seconds = self._settings.sandbox_seconds if faults.delay is None else faults.delay
        webhook = str(request["webhook"]) if request.get("webhook") else None
        work = Work(next(self._ids), key, request, faults, seconds, request.get("track_id"), webhook)
        self.work[work.id] = self.by_prefix[work.prefix] = work
        if len(self.work) > KEPT_WORK:
            _, oldest = self.work.popitem(last=False)
            del self.by_prefix[oldest.prefix]
        self._bill.begin(key)
        return work

    def start(self, work: Work) -> "asyncio.Task[None]":
        """Lets the time of a request pass, in the background."""
        task = asyncio.create_task(self._run(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _run(self, work: Work) -> None:
        try:
            await asyncio.sleep(work.seconds)
            work.done = True
        finally:
            self._bill.end(work.key)
        await asyncio.sleep(work.faults.late)
        work.told = True
        if work.webhook and not work.faults.no_callback:
            await self._call_back(work, work.webhook)

    async def _call_back(self, work: Work, webhook: str) -> None:
        faults = work.faults
        true = answers.callback(work, work.output(self.base))
        if faults.fail is not None:
            true = answers.failed_callback(work, faults.fail if faults.fail != "yes" else DEFAULT_FAILURE)
        bodies = [(webhook, true)] * max(1, faults.callback)
        if faults.forged:
            bodies = [*_forged(webhook, true), *bodies]
        if faults.contradict == "first":
            bodies.insert(0, (webhook, answers.failed_callback(work, "contradicted") | {"id": work.id + 1}))
        elif faults.contradict:
            bodies.append((webhook, answers.failed_callback(work, "contradicted")))
        for address, body in bodies:
            await self._post(address, body)

    async def _post(self, address: str, body: dict[str, Any]) -> None:
        """Best effort, as documented: one try, whatever it comes to."""
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200))
        headers = {"content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=CALLBACK_SECONDS)
        try:
            async with self.session.post(address, data=orjson.dumps(body), headers=headers, timeout=timeout) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.lost_callbacks += 1
            self.last_lost = type(error).__name__


def _forged(webhook: str, true: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    lie = true | {"output": ["https://attacker.example/picture.png"]}
    head, _, token = webhook.rpartition("/")
    wrong_token = f"{head}/{token[:-3]}{'AAA' if token[-3:] != 'AAA' else 'BBB'}"
    return [(wrong_token, lie), (webhook, lie | {"track_id": "somebody-else"}), (webhook, lie | {"id": 1})]
