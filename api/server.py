"""uvicorn with a stop that waits for no long-running stream, and with as many file descriptors as the system allows."""

import resource
import socket
from typing import cast

import uvicorn

from api.watch import Watch

MOST_DESCRIPTORS = 1_048_576


class GracefulServer(uvicorn.Server):
    """Ends event streams and waiting requests when it must stop; their clients connect again, to another process."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("dict[str, Watch]", self.lifespan.state)["watch"].end()
        await super().shutdown(sockets)


def raise_descriptor_limit() -> None:
    """Raises the soft limit of file descriptors to the hard limit: the usual 1,024 allow too few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
