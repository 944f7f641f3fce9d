"""httpx over aiohttp, with an exact answer to one question: can a byte of the request have been sent?

httpx's own pool costs 24 ms of CPU per POST with 1,000 in flight, this transport 0.5 ms (decision 0004). The
existing bridge `httpx-aiohttp` maps every lost connection to `ConnectTimeout`, which means "not sent"; believing it
would buy twice. Here a connect error needs two proofs: the class of aiohttp's error, and a trace that never saw the
request get a connection. Everything else is *open* (nobody knows).

Every outgoing socket of the product is made here, so the address check at the socket holds for all of them.
"""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
from yarl import URL

from config.settings import Settings
from worker.network.addresses import check_dialled
from worker.network.names import CALLERS_FAILED_SECONDS, OUR_FAILED_SECONDS, GuardedResolver

KEEP_ALIVE_SECONDS = 2.5
"""Shorter than that of any server: a POST on a connection that the server is just closing has an open outcome."""
CHUNK_BYTES = 65_536
MOST_HEADER_BYTES = 16_384

NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,  # refused, unreachable, DNS, TLS handshake
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


@dataclass(slots=True)
class Sending:
    """What is known about one request in flight."""

    connected: bool = False
    """Whether it ever got a connection. From then on a byte of it may have been sent."""


def open_transport(settings: Settings, *, to_callers: bool = False) -> "AiohttpTransport":
    """A transport that dials public addresses only, unless the settings allow private ones (development).

    `to_callers`: callers choose the hosts, so a name that fails is not looked up again for a while.
    """
    resolver = GuardedResolver(
        allow_private=settings.allow_private_addresses,
        servers=settings.dns_servers,
        failed_seconds=CALLERS_FAILED_SECONDS if to_callers else OUR_FAILED_SECONDS,
    )
    return AiohttpTransport(resolver, allow_private=settings.allow_private_addresses)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """No proxies, no redirects, no decompression, no retries. Callers limit how much they send at once."""

    def __init__(self, resolver: GuardedResolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends once. Raises ConnectError or ConnectTimeout only if no byte of the request can have been sent."""
        session = self._session or self._open()
        sending = Sending()
        # `connect` limits name lookup, dial and TLS together; `read` each wait for bytes. The caller limits the total.
        given = request.extensions.get("timeout", {})
        try:
            answer = await session.request(
                request.method,
                URL(str(request.url), encoded=True),  # unchanged: a signed address must not be encoded again
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=given.get("connect"), sock_read=given.get("read")),
                trace_request_ctx=sending,
            )
        except Exception as error:
            raise translated(error, sending, request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Stream(answer), request=request)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()
        await self._resolver.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self._tls,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            use_dns_cache=False,  # the resolver remembers, failures as well
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent",),
            max_line_size=MOST_HEADER_BYTES,
            max_field_size=MOST_HEADER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[_trace()],
        )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        """The socket for one numeric address, about to be dialled: the last place where it can be refused."""
        family, kind, protocol, _, target = address
        check_dialled(str(target[0]), allow_private=self._allow_private)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except Exception as error:
            raise translated(error, Sending(connected=True), None) from error

    async def aclose(self) -> None:
        # closed, not released: reading the rest of an unwanted body would cost more than a new connection
        if not self._answer.content.at_eof():
            self._answer.close()
        self._answer.release()


def translated(error: Exception, sending: Sending, request: httpx.Request | None) -> httpx.TransportError:
    """The httpx error that says what is proven. Its text is only the class of the cause: causes quote addresses."""
    kind = type(error).__name__
    if isinstance(error, NEVER_CONNECTED) and not sending.connected:
        timed_out = isinstance(error, aiohttp.ConnectionTimeoutError)
        return httpx.ConnectTimeout(kind, request=request) if timed_out else httpx.ConnectError(kind, request=request)
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(kind, request=request)
    return httpx.ReadError(kind, request=request)


def _trace() -> aiohttp.TraceConfig:
    async def connected(_session: object, context: Any, _event: object) -> None:
        context.trace_request_ctx.connected = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace
