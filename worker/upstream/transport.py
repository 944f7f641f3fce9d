"""httpx over aiohttp, with an exact answer to one question: can a byte of the request have been sent?

httpx's own pool costs 25 ms of CPU a POST with 1,000 in flight, aiohttp's 0.3 ms (docs/decisions/0004). The ready-made
bridge between the two maps every lost connection to `ConnectTimeout`, which reads as "not sent": taken at its word it
would buy twice. Here only a connection that was never established is a connect error; all the rest is open.

Every outgoing socket of the product is made here, so the address check at the socket holds for all of them.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx

from config.settings import Settings
from worker.addresses import check_dialled

KEEP_ALIVE_SECONDS = 2.5
"""Shorter than any server's: a POST on a connection that is just being closed has an open outcome."""
CHUNK_BYTES = 65_536
DNS_SECONDS = 30
MOST_HEADER_BYTES = 16_384

NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,  # refused, unreachable, DNS, TLS handshake
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientConnectorSSLError,
)


def open_transport(settings: Settings) -> "AiohttpTransport":
    """A transport that dials public addresses only, unless the settings allow private ones (development)."""
    return AiohttpTransport(allow_private=settings.allow_private_addresses)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """No proxies, no redirects, no decompression, no retries. Callers bound how much they send at once."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends once. Raises ConnectError or ConnectTimeout only where no byte of the request can have left."""
        session = self._session or self._open()
        timeout = request.extensions.get("timeout", {})
        try:
            answer = await session.request(
                request.method,
                str(request.url),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=timeout.get("connect"), sock_read=timeout.get("read")),
            )
        except Exception as error:
            raise translated(error, request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Stream(answer), request=request)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self._tls,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
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
            raise translated(error, None) from error

    async def aclose(self) -> None:
        # closed, not released: what is left of a body that nobody reads is not worth its connection
        if not self._answer.content.at_eof():
            self._answer.close()
        self._answer.release()


def translated(error: Exception, request: httpx.Request | None) -> Exception:
    """The httpx error that says what is proven. Its text is the kind of the cause only: causes quote addresses."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(kind, request=request)
    if isinstance(error, NEVER_CONNECTED):
        return httpx.ConnectError(kind, request=request)
    if isinstance(error, aiohttp.InvalidURL):
        return httpx.UnsupportedProtocol(kind, request=request)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return httpx.ReadTimeout(kind, request=request)
    if isinstance(error, aiohttp.ClientError | OSError | ssl.SSLError):
        return httpx.ReadError(kind, request=request)
    return error
