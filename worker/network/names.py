"""Look-ups of host names (DNS) that can never hold up one another: asynchronous, bounded in time and in number.

The event loop's own look-up runs `getaddrinfo` in a pool of four threads without a time limit, so four names whose
servers never answer stop every other look-up of the process. Here c-ares asks over one socket, without a thread per
question; it reads resolv.conf and /etc/hosts as the system does. One question at a time is under way for each name, and
a name that failed is not asked for again at once.

An answer with an address that may not be dialled is a failure like any other, remembered like any other: neither the
text nor the time of a refusal tells a caller what our network has.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import aiodns
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.network.addresses import AddressRefused, check_dialled

log = structlog.get_logger()

LOOK_UP_SECONDS = 3.0
FIRST_TRY_SECONDS = 1.0
TRIES = 5
"""c-ares waits twice as long before each further try; so many that LOOK_UP_SECONDS is what ends a look-up."""
MOST_AT_ONCE = 512
"""Look-ups under way in one process; more wait for a place, within their own LOOK_UP_SECONDS."""
MOST_REMEMBERED = 4096
MOST_ADDRESSES = 8
FOUND_SECONDS = 30.0
CALLERS_FAILED_SECONDS = (4.0, 30.0, 60.0)
"""How long a name that callers chose counts as failed, after the first, second and every further failure in a row. The
first is over before the second try of a delivery, so that one lost packet costs one try."""
OUR_FAILED_SECONDS = (1.0,)
"""The same for names that the operator chose: the upstream's and those of its images."""

Key = tuple[str, int]
"""A host name and an address family."""


class NoAddress(OSError):
    """The name has no address, or none that came in time. An OSError: to a client it is a failed connection."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a look-up came to, and until when (monotonic seconds) nobody asks again."""

    until: float
    addresses: tuple[ResolveResult, ...] = ()
    failures: int = 0
    refused: bool = False


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver. Refuses a name if one of its addresses may not be reached: such a name is suspicious."""

    def __init__(self, *, allow_private: bool, servers: Sequence[str], failed_seconds: Sequence[float]) -> None:
        self._allow_private = allow_private
        self._servers = servers
        self._failed_seconds = failed_seconds
        self._dns: aiodns.DNSResolver | None = None
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._asked: dict[Key, asyncio.Task[Known]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of the name. Raises AddressRefused or NoAddress, both an OSError; never anything else."""
        key = (host.lower(), int(family))
        known = self._known.get(key)
        if known is None or known.until <= time.monotonic():
            # shielded: who gives up does not end the look-up for those who wait for the same name
            known = await asyncio.shield(self._asked.get(key) or self._ask(key))
        if known.refused:
            raise AddressRefused("the name has an address that is not on the public internet")
        if not known.addresses:
            raise NoAddress("the name has no address")
        return [{**each, "hostname": host, "port": port} for each in known.addresses]

    async def close(self) -> None:
        """Ends every look-up; each counts as one that found nothing."""
        if self._dns:
            await self._dns.close()
        await asyncio.gather(*self._asked.values())

    def _ask(self, key: Key) -> asyncio.Task[Known]:
        task = asyncio.create_task(self._look_up(key))
        self._asked[key] = task
        task.add_done_callback(lambda _: self._asked.pop(key, None))
        return task

    async def _look_up(self, key: Key) -> Known:
        """Asks, and remembers what came of it. Raises nothing: perhaps nobody waits for it any more."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS), self._places:
                found = await self._addresses(*key)
            for each in found:
                check_dialled(each["host"], allow_private=self._allow_private)
        except AddressRefused:
            return self._remember(key, (), refused=True)
        except Exception as error:  # noqa: BLE001 - anything else would read as a request that may have been sent
            log.info("name.not_found", reason=type(error).__name__)  # not the name: a caller wrote it
            return self._remember(key, ())
        return self._remember(key, found[:MOST_ADDRESSES])

    async def _addresses(self, host: str, family: int) -> tuple[ResolveResult, ...]:
        if self._dns is None:  # made here, because it belongs to the running loop
            self._dns = aiodns.DNSResolver(self._servers, timeout=FIRST_TRY_SECONDS, tries=TRIES)
        found = await self._dns.getaddrinfo(
            host, family=socket.AddressFamily(family), type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        return tuple(_result(node.family, node.addr[0].decode("ascii")) for node in found.nodes)

    def _remember(self, key: Key, addresses: tuple[ResolveResult, ...], *, refused: bool = False) -> Known:
        before = self._known.pop(key, None)
        failures = 0 if addresses else (before.failures if before else 0) + 1
        pauses = self._failed_seconds
        pause = pauses[min(failures, len(pauses)) - 1] if failures else FOUND_SECONDS
        known = self._known[key] = Known(time.monotonic() + pause, addresses, failures, refused)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known


def _result(family: int, address: str) -> ResolveResult:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": "", "host": address, "port": 0, "family": family, "proto": 0, "flags": numeric}
