"""What one connection holds of requests that are not whole, or not answered: bytes, told to the crowd as they come."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from api.guard import bounds
from api.guard.refusals import Refused

if TYPE_CHECKING:
    from api.guard.crowd import Connection, Crowd


class Holding:
    """The bytes of one connection: of a head that is still coming, and of the body of each request."""

    def __init__(self, crowd: "Crowd", connection: "Connection") -> None:
        self._crowd, self._connection = crowd, connection
        self._head = self._begun = 0
        self._bodies: dict[Hashable, tuple[int, int]] = {}

    def begin(self) -> None:
        """A request is not whole: what answers it is there already. Raises Refused where there are too many of them."""
        if not self._begun:
            self._begun = bounds.BEGUN_BYTES
            self._take(self._begun, 0)

    def whole(self) -> None:
        """It is whole, and will have its answer soon."""
        if self._begun:
            self._crowd.hold(-self._begun, 0)
            self._begun = 0

    def add_head(self, size: int) -> None:
        """So much more of a head. Raises Refused where nobody has room for it."""
        self._head += size
        self._take(size, 0)

    def add_body(self, request: Hashable, size: int, *, is_asked_for: bool) -> None:
        """So much more of the body of a request. Raises Refused where nobody has room for it.

        A large body is asked for behind a valid key only: what has come before that counts as anybody's.
        """
        small, big = self._bodies.get(request, (0, 0))
        more = min(size, max(0, bounds.SMALL_BYTES - small)) if is_asked_for else size
        self._bodies[request] = small + more, big + size - more
        self._take(more, size - more)

    def release_head(self) -> None:
        """The head is whole: it is the request's now, and short."""
        if self._head:
            self._crowd.hold(-self._head, 0)
            self._head = 0

    def release_body(self, request: Hashable) -> None:
        """The request has its answer."""
        small, big = self._bodies.pop(request, (0, 0))
        if small:
            self._crowd.hold(-small, -big)

    def release(self) -> None:
        """Nothing of it is needed any more."""
        self.whole()
        self.release_head()
        for request in list(self._bodies):
            self.release_body(request)

    def _take(self, small: int, big: int) -> None:
        self._crowd.arriving(self._connection)
        if not self._crowd.hold(small, big):
            raise Refused("unavailable", "held", "Too much is being sent at once.")
