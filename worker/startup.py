"""What must be true before a process starts: settings that fit together, and a Redis that does not forget.

A wrong setting ends the process with one sentence. A Redis that is away does not: the process waits for it.
"""

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from config.settings import Settings, stop

MIN_SECRET_BYTES = 16
SECRET_HELP = "set it to at least 16 random characters, for example the output of `openssl rand -hex 32`"  # noqa: S105


def check_settings(settings: Settings) -> None:
    """Ends the process with one sentence where settings do not fit together."""
    if not settings.secrets:
        stop(f"DARKROOM_SECRET is not set: {SECRET_HELP}.")
    if any(len(secret) < MIN_SECRET_BYTES for secret in settings.secrets):
        stop(f"DARKROOM_SECRET is too short: {SECRET_HELP}.")


async def check_redis(redis: Redis) -> list[str]:
    """Warnings about how this Redis keeps what it accepts; ends the process where it would evict jobs.

    Raises redis' own connection errors where it is away. A managed Redis that hides CONFIG is believed.
    """
    try:
        config = await redis.config_get("maxmemory-policy", "maxmemory", "appendonly", "appendfsync")
    except ResponseError:
        return ["this Redis does not show its configuration: make sure of noeviction and appendfsync always"]
    policy = config.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        stop(f"this Redis would evict jobs (maxmemory-policy is {policy}): set maxmemory-policy to noeviction.")
    if config.get("appendonly") != "yes":
        return ["this Redis does not persist (appendonly is no): accepted jobs are lost when it restarts"]
    if config.get("appendfsync") != "always":
        return [f"appendfsync is {config.get('appendfsync')}: up to a second of accepted jobs is lost with the power"]
    return []
