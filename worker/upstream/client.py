"""Our HTTP client of the upstream: one POST that is never repeated, and a fetch that may be. Translates all errors."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import httpx

from config.settings import Settings
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason
from worker.network.transport import open_transport
from worker.upstream.accounts import Account
from worker.upstream.callback_url import callback_url
from worker.upstream.chosen import PROVIDER
from worker.upstream.cleaning import Cleaner
from worker.upstream.errors import Unreadable, UpstreamUnavailable
from worker.upstream.provider import Call

FETCH_SECONDS = 20.0
MOST_ANSWER_BYTES = 64 * 1024 * 1024
"""The largest documented answer holds four images as base64."""
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "identity",  # nothing here unpacks, so a compressed answer would be unreadable
    "user-agent": "darkroom",
}


class AnswerTooLarge(Exception):
    """An answer beyond MOST_ANSWER_BYTES."""


class UpstreamClient:
    """The client for all servers of the pool. The key is in the body, which is never logged.

    What the upstream says passes through the cleaner.
    """

    def __init__(self, settings: Settings, cleaner: Cleaner | None = None) -> None:
        self._settings = settings
        self._cleaner = cleaner or Cleaner(settings, tuple)
        self._most_fetches = max(1, settings.settle_concurrency // 2)
        self._fetches: Counter[str] = Counter()
        self._total_seconds = settings.upstream_timeout_seconds + settings.upstream_connect_timeout_seconds
        timeout = httpx.Timeout(settings.upstream_timeout_seconds, connect=settings.upstream_connect_timeout_seconds)
        self._client = httpx.AsyncClient(
            transport=open_transport(settings), timeout=timeout, headers=HEADERS, trust_env=False
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def submit(self, account: Account, request: Mapping[str, object], track_id: str) -> Outcome:
        """POSTs that attempt once and returns what is proven. Never raises: what is not proven is Open.

        A crash in here leaves the attempt `submitting`, which becomes `unknown` when its lease is over.
        """
        return self._cleaner.outcome(await self._submit(account, request, track_id), track_id)

    async def _submit(self, account: Account, request: Mapping[str, object], track_id: str) -> Outcome:
        call = PROVIDER.submit_call(account, request, track_id, callback_url(self._settings, track_id))
        try:
            async with asyncio.timeout(self._total_seconds):
                status, headers, answer = await self._post(call)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NotTaken(Reason.UNREACHABLE, f"no connection ({error})")
        except httpx.InvalidURL:
            return NotTaken(Reason.MISCONFIGURED, "the upstream's address cannot be read")
        except (httpx.TimeoutException, TimeoutError):
            return Open("read_timeout")
        except httpx.TransportError as error:
            return Open("connection_lost", str(error))
        except AnswerTooLarge:
            return Open("answer_too_large")
        echoes = [text for text in request.values() if isinstance(text, str)]
        return PROVIDER.judge(status, headers, answer, echoes)

    async def fetch(
        self, account: Account, request_id: str, seconds: float = FETCH_SECONDS, *, track_id: str = ""
    ) -> Answer:
        """The state of one request, within so many seconds. Raises UpstreamError; repeating it is harmless.

        A server that hangs gets at most half of a settling worker's concurrency. The rest is for callbacks, deadlines
        and other servers, which never wait for it.
        """
        server = account.base_url
        if self._fetches[server] >= self._most_fetches:
            raise UpstreamUnavailable("as many questions as may be are under way there")
        self._fetches[server] += 1
        try:
            async with asyncio.timeout(seconds):
                status, _, content = await self._post(PROVIDER.fetch_call(account, request_id))
        except (httpx.TransportError, httpx.InvalidURL, TimeoutError, AnswerTooLarge) as error:
            raise UpstreamUnavailable(type(error).__name__) from error
        finally:
            self._fetches[server] -= 1
        answer = PROVIDER.parse(content)
        if status == 429 or status >= 500 or answer.kind == "error":
            raise UpstreamUnavailable(f"HTTP {status}")
        if answer.kind == "unreadable":
            raise Unreadable(f"HTTP {status}")
        return self._cleaner.answer(answer, track_id)

    async def _post(self, call: Call) -> tuple[int, httpx.Headers, bytes]:
        async with self._client.stream("POST", call.url, content=call.body) as answer:
            return answer.status_code, answer.headers, await _bounded(answer)


async def _bounded(answer: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            raise AnswerTooLarge
    return bytes(content)
