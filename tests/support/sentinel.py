"""A primary, two replicas and three sentinels, each a real process, for tests of what a failover does."""

import subprocess
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from api.cli.stack.redis_server import find_server, free_port
from tests.support.processes import until

PASSWORD, SENTINEL_PASSWORD = "a redis/password", "a sentinel/password"
NAME = "mymaster"
# a sentinel asks once a second at most: with less than two rounds here, a busy machine is a dead primary to it
DOWN_AFTER_MS = 2500


class Cluster:
    """Redis with Sentinel. Two of three sentinels must agree; a primary without a replica refuses writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(3)]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """DARKROOM_REDIS_URL for it, both passwords percent-encoded."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"sentinel://:a%20redis%2Fpassword@{hosts}/{NAME}/3?sentinel_password=a%20sentinel%2Fpassword"

    def __enter__(self) -> "Cluster":
        primary, *replicas = self.ports
        self.start(primary)
        for port in replicas:
            self.start(port, f"replicaof 127.0.0.1 {primary}")
        until(lambda: self.replicas(primary) == len(replicas), what="the replicas' links")
        for port in self.sentinel_ports:
            self._start_sentinel(port)
        until(lambda: all(self._sees_everybody(port) for port in self.sentinel_ports), what="sentinels that agree")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def start(self, port: int, *more: str) -> None:
        """Starts one of the servers; one that was primary becomes a replica once the sentinels see it."""
        lines = (
            f'requirepass "{PASSWORD}"',
            f'masterauth "{PASSWORD}"',
            "appendonly yes",
            "appendfsync always",
            'save ""',
        )
        safe = ("min-replicas-to-write 1", "min-replicas-max-lag 2", "repl-diskless-sync-delay 0")
        self._run(port, [*lines, *safe, *more])
        until(lambda: self._answers(port), what="a server")

    def kill(self, port: int) -> None:
        """SIGKILL."""
        process = self.processes.pop(port)
        process.kill()
        process.wait()

    def client(self, port: int) -> Redis:
        """A plain client of one of the servers, on the database that the address names."""
        return Redis(port=port, password=PASSWORD, db=3, socket_timeout=2)

    def primary(self) -> int:
        """The port that the sentinels give; the first of them may be too busy to say."""
        return int(until(self._told_by_a_sentinel, what="a sentinel that answers"))

    def replicas(self, port: int) -> int:
        """How many replicas have everything that this server was given."""
        try:
            with self.client(port) as redis:
                redis.set("in-step", 1)
                return int(redis.wait(len(self.ports), 200))
        except RedisError:
            return 0

    def _told_by_a_sentinel(self) -> int | None:
        for port in self.sentinel_ports:
            try:
                with Redis(port=port, password=SENTINEL_PASSWORD, socket_timeout=2) as sentinel:
                    return int(sentinel.sentinel_get_master_addr_by_name(NAME)[1])
            except RedisError:
                continue
        return None

    def _start_sentinel(self, port: int) -> None:
        watch = f"sentinel monitor {NAME} 127.0.0.1 {self.ports[0]} 2"
        login = (f'sentinel auth-pass {NAME} "{PASSWORD}"', f'requirepass "{SENTINEL_PASSWORD}"')
        other = f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"'
        quick = (f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}", f"sentinel failover-timeout {NAME} 6000")
        self._run(port, [watch, *login, other, *quick], "--sentinel")

    def _run(self, port: int, lines: list[str], *arguments: str) -> None:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        config = folder / "server.conf"
        config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f'dir "{folder}"', *lines, ""]))
        with (folder / "server.log").open("ab") as log:
            command = [find_server(), str(config), *arguments]
            self.processes[port] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _answers(self, port: int) -> bool:
        try:
            with self.client(port) as redis:
                return bool(redis.ping())
        except RedisError:
            return False

    def _sees_everybody(self, port: int) -> bool:
        try:
            with Redis(port=port, password=SENTINEL_PASSWORD, socket_timeout=2) as sentinel:
                state = sentinel.sentinel_master(NAME)
        except RedisError:
            return False
        return int(state["num-other-sentinels"]) == len(self.sentinel_ports) - 1 and int(state["num-slaves"]) == 2
