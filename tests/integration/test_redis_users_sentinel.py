"""The users of deploy/compose.sentinel.yml, real: replication, a failover and the processes' way to the primary."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from tests.support.processes import until
from tests.support.shipped_redis import ShippedRedis
from worker.store.lane import Lane, RedisUnavailable, connect

QUICK = ("down-after-milliseconds", "1000", "failover-timeout", "3000")


@dataclass
class Group:
    """Two servers and two sentinels, which must agree."""

    servers: list[ShippedRedis]
    sentinels: list[ShippedRedis]
    passwords: dict[str, str]

    def url_of(self, role: str) -> str:
        """As compose.sentinel.yml writes it; every server has the same users."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        login = f"sentinel_username=client&sentinel_password={self.passwords['CLIENT']}"
        return f"sentinel://{role}:{self.servers[0].passwords[role]}@{hosts}/mymaster/0?{login}"

    def at_sentinel(self, role: str) -> Redis:
        """The first sentinel, asked as that role."""
        return Redis(port=self.sentinels[0].port, username=role, password=self.passwords[role.upper()])

    def primary(self) -> int:
        """The port that the first sentinel names."""
        with self.at_sentinel("client") as sentinel:
            return int(sentinel.sentinel_get_master_addr_by_name("mymaster")[1])


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """One for the file: the failover is its last test."""
    folder = tmp_path_factory.mktemp("group")
    passwords = {role: secrets.token_hex(32) for role in ("REPLICA", "SENTINEL", "CLIENT")}
    environment = {f"DARKROOM_REDIS_{role}_PASSWORD": value for role, value in passwords.items()}
    primary = ShippedRedis(folder / "primary", **environment)
    replica = ShippedRedis(
        folder / "replica", "start.sh", REPLICA_OF=f"replicaof 127.0.0.1 {primary.port}", **environment
    )
    replica.passwords = primary.passwords
    monitor = {"SENTINEL_MONITOR": f"127.0.0.1 {primary.port}"}
    sentinels = [ShippedRedis(folder / f"sentinel-{n}", "sentinel.sh", **environment, **monitor) for n in (1, 2)]
    made = Group([primary, replica], sentinels, passwords)
    for each in (primary, replica, *sentinels):
        each.start()
    for each in sentinels:
        with Redis(port=each.port, username="sentinel", password=passwords["SENTINEL"]) as sentinel:
            sentinel.execute_command("SENTINEL", "SET", "mymaster", *QUICK)
    yield made
    for each in (*sentinels, replica, primary):
        each.stop()


async def answered(url: str, *write: str) -> bool:
    """Whether a PING comes through, or this write, as our processes send them."""
    lane = Lane(connect(url, 3), 3)
    try:
        await (lane.write(*write) if write else lane.call("PING"))
    except RedisUnavailable:
        return False
    finally:
        await lane.aclose()
    return True


def sees_everybody(group: Group) -> bool:
    """Whether the first sentinel knows the replica and the other sentinel."""
    with group.at_sentinel("sentinel") as sentinel:
        seen = sentinel.sentinel_master("mymaster")
    return bool(seen["num-slaves"] == 1 and seen["num-other-sentinels"] == 1)


async def test_each_role_finds_the_primary_and_writes(group: Group) -> None:
    """By the sentinels' own user, then as itself; `min-replicas-to-write` shows that the replica has come in."""
    until(lambda: _is_replica(group.servers[1]), what="the replica's link")
    until(lambda: sees_everybody(group), what="sentinels that know each other")
    for role in ("api", "worker", "operator"):
        assert await answered(group.url_of(role), "SET", "ready", "x", "EX", "60"), role


def test_a_client_of_a_sentinel_commands_nothing(group: Group) -> None:
    """Whoever could would name another server as Redis, to everybody."""
    commands = (["FAILOVER", "mymaster"], ["SET", "mymaster", "quorum", "1"], ["MONITOR", "x", "127.0.0.1", "1", "1"],
                ["REMOVE", "mymaster"], ["RESET", "*"], ["CONFIG", "SET", "loglevel", "debug"])  # fmt: skip
    with group.at_sentinel("client") as sentinel:
        for words in commands:
            with pytest.raises(ResponseError, match="ermission"):
                sentinel.execute_command("SENTINEL", *words)
    with Redis(port=group.sentinels[0].port) as stranger, pytest.raises(AuthenticationError):
        stranger.execute_command("SENTINEL", "MASTERS")


async def test_a_failover_needs_no_more_than_the_sentinels_may(group: Group) -> None:
    """They make the replica primary and write that into its file; the processes find it, as the same users."""
    was, other = group.servers
    was.kill()
    until(lambda: group.primary() == other.port, 40, "another primary")
    for _ in range(100):  # the sentinels agree a moment later
        if await answered(group.url_of("api")):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the primary is not found")
    until(lambda: "replicaof" not in (other.folder / "data" / "redis.conf").read_text(), what="its file")
    with other.client("test") as redis:
        assert not redis.acl_log()


def _is_replica(server: ShippedRedis) -> bool:
    try:
        with server.client("test") as redis:
            return bool(redis.role()[0] in ("slave", "replica") and redis.role()[3] == "connected")
    except RedisError:
        return False
