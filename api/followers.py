"""How many callers may follow a job at once, by its events or by waiting for its end: each holds a connection."""

from collections import Counter
from typing import Self

from api.http.problems import Problem

RETRY_AFTER_SECONDS = "5"


class Followers:
    """The places of one process, for all tenants together and for each."""

    def __init__(self, most: int, most_of_tenant: int) -> None:
        self._most, self._most_of_tenant = most, most_of_tenant
        self._of_tenant: Counter[str] = Counter()

    def place(self, tenant: str) -> "FollowerPlace":
        """A place, held until it is left. Raises Problem `too_many_followers`."""
        if self._of_tenant[tenant] >= self._most_of_tenant:
            raise _refusal(f"At most {self._most_of_tenant} of your streams and waits are open at once.")
        if self._of_tenant.total() >= self._most:
            raise _refusal("No more streams and waits can be open now.")
        return FollowerPlace(self._of_tenant, tenant)


class FollowerPlace:
    """One caller that follows a job."""

    def __init__(self, of_tenant: Counter[str], tenant: str) -> None:
        self._of_tenant, self._tenant, self._is_held = of_tenant, tenant, True
        of_tenant[tenant] += 1

    def leave(self) -> None:
        """Gives it back, once."""
        if self._is_held:
            self._is_held = False
            self._of_tenant[self._tenant] -= 1
            if not self._of_tenant[self._tenant]:
                del self._of_tenant[self._tenant]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


def _refusal(detail: str) -> Problem:
    return Problem("too_many_followers", detail, headers={"retry-after": RETRY_AFTER_SECONDS})
