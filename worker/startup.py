"""Checks before a process starts: settings that fit together, and a Redis that keeps data.

A wrong setting ends the process with one sentence. If Redis is away, the process waits for it.
"""

import asyncio
from base64 import b64decode

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.settings import Settings, stop
from worker.store.connection import SentinelPool, connect
from worker.store.gate import look_at
from worker.telling.secrets import is_webhook_secret

log = structlog.get_logger()

MIN_SECRET_BYTES = 16
MIN_WEBHOOK_SECRET_BYTES = 24
SECRET_HELP = "set it to at least 16 random characters, for example the output of `openssl rand -hex 32`"  # noqa: S105


def check_settings(settings: Settings) -> None:
    """Ends the process with one sentence if settings do not fit together."""
    if not settings.secrets:
        stop(f"DARKROOM_SECRET is not set: {SECRET_HELP}.")
    _check_webhook_secrets(settings)
    if any(len(secret) < MIN_SECRET_BYTES for secret in settings.secrets):
        stop(f"DARKROOM_SECRET is too short: {SECRET_HELP}.")


def _check_webhook_secrets(settings: Settings) -> None:
    text = settings.webhook_secret.get_secret_value()
    if text and not all(_is_strong(part.strip()) for part in text.split(",")):
        stop(
            "DARKROOM_WEBHOOK_SECRET must be whsec_ and base64 of 24 bytes or more, each of a comma list: "
            "leave it out and one is made, or use 32 random bytes."
        )


def _is_strong(secret: str) -> bool:
    # a short secret can be guessed, and with an empty one anybody could sign
    return is_webhook_secret(secret) and len(b64decode(secret.removeprefix("whsec_"))) >= MIN_WEBHOOK_SECRET_BYTES


def check_redis_at_start(settings: Settings) -> None:
    """Warns if Redis may lose data, ends the process if it would evict. Does not wait if Redis is away."""
    asyncio.run(_warn_about_redis(settings))


async def _warn_about_redis(settings: Settings) -> None:
    redis = connect(settings.redis_url.get_secret_value(), settings.redis_timeout_seconds)
    try:
        async with asyncio.timeout(settings.redis_timeout_seconds):
            for warning in await check_redis(redis, settings.redis_replicas):
                log.warning("redis.durability", warning=warning)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("redis.away", reason=type(error).__name__)
    finally:
        await redis.aclose(close_connection_pool=True)


async def check_redis(redis: Redis, replicas: int) -> tuple[str, ...]:
    """Warnings about the durability of this Redis; ends the process if it must not be used.

    Raises redis' own connection errors if it is away.
    """
    pool = redis.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        verdict = await look_at(connection, sentinels=isinstance(pool, SentinelPool), replicas=replicas)
    finally:
        await pool.release(connection)
    if verdict.refusal:
        stop(f"{verdict.refusal}.")
    return verdict.warnings
