"""Callers under chaos: they repeat until they are answered; the quiet one is measured."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.plan import Plan
from tests.chaos.receiver import Inbox
from tests.support.processes import KEY, Installation

KEYS = {"acme": KEY, "other": f"other-{KEY}"}
AGAIN_SECONDS = 0.2
ANSWER_SECONDS = 20
QUIET_EVERY_SECONDS = 0.2


@dataclass
class Callers:
    """Everybody who posts, and what they know: the accepted jobs with their plans."""

    here: Installation
    session: aiohttp.ClientSession
    inbox: Inbox
    receiver: str
    deadline_seconds: int
    accepted: dict[str, Plan] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    """Ids that two different requests were answered."""
    refused: Counter[str] = field(default_factory=Counter)
    """By status, or by the error of a connection."""
    waits: dict[str, list[float]] = field(default_factory=dict)
    """By phase: seconds from the quiet tenant's POST until it was told."""

    async def load(self, plans: Iterable[Plan], a_second: float) -> None:
        """Posts them at that rate, whatever becomes of the ones before; returns once all are accepted."""
        began, posting = time.monotonic(), []
        for number, plan in enumerate(plans):
            await asyncio.sleep(max(0.0, began + number / a_second - time.monotonic()))
            posting.append(asyncio.create_task(self.accept(plan)))
        await asyncio.gather(*posting)

    async def accept(self, plan: Plan) -> str:
        """As a careful caller does: again until there is an answer, under the same Idempotency-Key.

        A refusal (any status but 202) says that nothing was accepted, so a trusting caller asks anew after one; after
        a connection that broke nobody knows, so also that one repeats the same request.
        """
        asked, in_doubt = 0, False
        while True:
            status, job = await self.request("POST", "/v1/jobs", plan, asked)
            if status == 202:
                if job["id"] in self.accepted:
                    self.twice.append(job["id"])
                self.accepted[job["id"]] = plan
                return str(job["id"])
            self.refused[str(status)] += 1
            # a refusal of the repetition says nothing of the request whose connection broke
            in_doubt = in_doubt or not isinstance(status, int)
            asked += plan.trusting and not in_doubt
            await asyncio.sleep(AGAIN_SECONDS)

    async def request(
        self, method: str, path: str, plan: Plan, asked: int = 0, *, key: str | None = None
    ) -> tuple[int | str, Any]:
        """Status and JSON, or the name of the error and None."""
        headers = {"authorization": f"Bearer {key or KEYS[plan.tenant]}"}
        body = None
        if method == "POST":
            headers["idempotency-key"] = f"{plan.prompt.partition(' ')[0]}-{asked}"
            body = plan.body(self.receiver, self.deadline_seconds)
        url = f"http://127.0.0.1:{self.here.api_port}{path}"
        try:
            async with self.session.request(method, url, json=body, headers=headers) as answer:
                is_json = "json" in answer.content_type
                return answer.status, await answer.json(content_type=None) if is_json else await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__, None

    @contextlib.asynccontextmanager
    async def measured(self, phase: str) -> AsyncIterator[None]:
        """The quiet tenant posts plain jobs meanwhile, and waits to be told of each."""
        waits = self.waits.setdefault(phase, [])
        asking: set[asyncio.Task[None]] = set()
        posting = asyncio.create_task(self._post_quietly(phase, waits, asking))
        try:
            yield
        finally:
            posting.cancel()
            await asyncio.gather(posting, *asking, return_exceptions=True)

    async def _post_quietly(self, phase: str, waits: list[float], asking: "set[asyncio.Task[None]]") -> None:
        for number in range(10**6):
            plan = Plan(10**7 + len(self.accepted) + number, f"quiet-{phase.replace(' ', '-')}-{number}", "other")
            asking.add(asyncio.create_task(self._wait_for_one(plan, waits)))
            await asyncio.sleep(QUIET_EVERY_SECONDS)

    async def _wait_for_one(self, plan: Plan, waits: list[float]) -> None:
        began = time.monotonic()
        job_id = await self.accept(plan)
        while job_id not in self.inbox.first_at and time.monotonic() - began < self.deadline_seconds:
            await asyncio.sleep(0.01)
        waits.append(self.inbox.first_at.get(job_id, time.monotonic()) - began)


@contextlib.asynccontextmanager
async def callers(here: Installation, deadline_seconds: int) -> AsyncIterator[Callers]:
    """Callers with their receiver, until the block ends."""
    inbox = Inbox()
    receiver = await inbox.start()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=300), timeout=timeout) as session:
        yield Callers(here, session, inbox, receiver, deadline_seconds)
    await inbox.stop()
