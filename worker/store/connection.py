"""Opens all connections to Redis, except Celery's own (config/broker.py)."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, Sentinel, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from config.redis_address import RedisAddress, parse_redis_address


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the server that the sentinels name as primary at the moment of connecting."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Closes the connections. With those in use (the end of the pool) also the connections to the sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def connect(url: str, timeout_seconds: float, connections: int = 8, health_check_seconds: int = 0) -> Redis:
    """A client that gives up after `timeout_seconds`, and never repeats a command by itself."""
    address = parse_redis_address(url)
    options = {
        "max_connections": connections,
        "timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": health_check_seconds,
        "retry": Retry(NoBackoff(), 0),
        "db": address.database,
        "username": address.username,
        "password": address.password,
        **(address.tls or {}),
    }
    if address.primary:
        return Redis(connection_pool=_sentinel_pool(address, timeout_seconds, options))
    (host, port) = address.hosts[0]
    kind = Connection if address.tls is None else SSLConnection
    return Redis(connection_pool=BlockingConnectionPool(connection_class=kind, host=host, port=port, **options))


def _sentinel_pool(address: RedisAddress, timeout_seconds: float, options: dict[str, Any]) -> SentinelPool:
    # sentinels are asked one after another: one whose machine is gone must leave time for the others
    share = timeout_seconds / (len(address.hosts) + 1)
    asking: dict[str, Any] = {"socket_connect_timeout": share, "socket_timeout": share, "retry": Retry(NoBackoff(), 0)}
    if address.tls is not None:
        asking |= {"ssl": True, **address.tls}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=asking | dict(address.sentinel_login))  # type: ignore[no-untyped-call]
    kind = SentinelManagedConnection if address.tls is None else SentinelManagedSSLConnection
    return SentinelPool(address.primary, sentinel, connection_class=kind, **options)  # type: ignore[no-untyped-call]
