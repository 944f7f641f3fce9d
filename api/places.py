"""How many calls of a kind may be open at once: each of them costs memory, or time of everybody, while it is open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from api.http.problems import Problem

RETRY_AFTER_SECONDS = "5"


@dataclass(slots=True)
class _OfTenant:
    held: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Places:
    """The places of one process, for all tenants together and for each. `what` names the calls, for the refused."""

    def __init__(self, most: int, most_of_tenant: int, code: str, what: str) -> None:
        self._most, self._most_of_tenant, self._code, self._what = most, most_of_tenant, code, what
        self._tenants: dict[str, _OfTenant] = {}
        self._held = 0

    def place(self, tenant: str) -> "Place":
        """A place, held until it is left. Raises Problem with the code of these calls."""
        of_tenant = self._tenants.get(tenant)
        if of_tenant and of_tenant.held >= self._most_of_tenant:
            raise self._refusal(f"At most {self._most_of_tenant} of your {self._what} are open at once.")
        if self._held >= self._most:
            raise self._refusal(f"No more {self._what} can be open now.")
        self._held += 1
        return Place(self, tenant)

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """A place, and within it this tenant's turn: its calls go one after another. Raises as `place` does."""
        with self.place(tenant) as place:
            async with place.turn:
                yield

    def join(self, tenant: str) -> asyncio.Lock:
        """Notes one more of that tenant; returns the lock that its calls take turns by."""
        of_tenant = self._tenants.setdefault(tenant, _OfTenant())
        of_tenant.held += 1
        return of_tenant.turn

    def leave(self, tenant: str) -> None:
        """Notes one fewer."""
        self._held -= 1
        self._tenants[tenant].held -= 1
        if not self._tenants[tenant].held:
            del self._tenants[tenant]

    def _refusal(self, detail: str) -> Problem:
        return Problem(self._code, detail, headers={"retry-after": RETRY_AFTER_SECONDS})


class Place:
    """The place of one call."""

    def __init__(self, places: Places, tenant: str) -> None:
        self._places, self._tenant, self._is_held = places, tenant, True
        self.turn = places.join(tenant)
        """Held while a call does what is costly: a tenant's calls do that one after another."""

    def leave(self) -> None:
        """Gives it back, once."""
        if self._is_held:
            self._is_held = False
            self._places.leave(self._tenant)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
