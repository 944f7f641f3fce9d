"""What a request's head must be, where the parser is more lenient than RFC 9112."""

from collections.abc import Sequence

from api.guard.refusals import Refused

VERSIONS = ("1.0", "1.1")
Fields = Sequence[tuple[bytes, bytes]]


def check_head(version: str, hosts: int) -> None:
    """Raises Refused where two readers of this head could understand two different requests."""
    if version not in VERSIONS:
        raise Refused("bad_request", "version", "HTTP/1.1 is spoken here, and HTTP/1.0.")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise Refused("bad_request", "host", "A request names one Host.")


def check_upgrade(fields: Fields) -> None:
    """Raises Refused where a body follows: the parser takes it for another protocol, or for the next request."""
    if body_length(fields) != 0:
        raise Refused("bad_request", "upgrade", "Nothing is upgraded to here: send the body without `Upgrade`.")


def body_length(fields: Fields) -> int | None:
    """How many bytes the body says it has; None where only its end will tell."""
    for name, value in fields:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value)
    return 0
