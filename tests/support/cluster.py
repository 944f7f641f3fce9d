"""Redis servers in cluster mode, of one shard or of several."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port

SLOTS = 16_384
SECONDS = 20.0


class ClusterNode(EmbeddedRedis):
    """One server in cluster mode; it has one database and a second port that is its first one and 10,000."""

    def _config(self) -> str:
        bus = f"cluster-enabled yes\ncluster-port {free_port()}\n"
        return super()._config().replace("databases 64", "databases 1") + bus


@contextmanager
def cluster(folder: Path, shards: int) -> Iterator[ClusterNode]:
    """A cluster that serves all of its slots; yields its first server."""
    nodes = [ClusterNode(folder / str(each), free_port(), password="a-password") for each in range(shards)]
    try:
        for node in nodes:
            node.start()
        _share_slots(nodes)
        yield nodes[0]
    finally:
        for node in nodes:
            node.kill()


def _share_slots(nodes: list[ClusterNode]) -> None:
    first = nodes[0]
    for at, node in enumerate(nodes):
        begin, end = SLOTS * at // len(nodes), SLOTS * (at + 1) // len(nodes) - 1
        with Redis.from_url(node.url) as redis:
            redis.execute_command("CLUSTER", "ADDSLOTSRANGE", begin, end)
            if node is not first:
                bus = int((first.folder / "server.conf").read_text().split("cluster-port ")[1].split()[0])
                redis.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
    until = time.monotonic() + SECONDS
    with Redis.from_url(first.url) as redis:
        while (found := redis.execute_command("CLUSTER", "INFO")) and not _serves(str(found), len(nodes)):
            assert time.monotonic() < until, found
            time.sleep(0.1)


def _serves(info: str, shards: int) -> bool:
    told = info.replace('"', "").replace("'", "").replace(" ", "")
    return ("cluster_state:ok" in told) and (f"cluster_size:{shards}" in told)
