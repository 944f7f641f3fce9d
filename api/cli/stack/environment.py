"""What each part of a stack is given of the environment: only what it uses, as in docker-compose.yml. Pure."""

from collections.abc import Mapping

OURS = "DARKROOM_"
NAMED = (OURS, "FLOWER_", "AWS_")
"""Prefixes of names that only some parts are given; every other name is the shell's, and all have it."""

USED_BY = {
    "redis": (),
    "sandbox": ("DARKROOM_SANDBOX_", "DARKROOM_LOG_"),
    "worker": (OURS, "AWS_"),
    "api": (OURS, "AWS_"),
    "flower": ("DARKROOM_REDIS_URL", "FLOWER_"),
}
"""Prefixes of the names that a part uses."""

SECRETS = {
    "DARKROOM_SECRET": ("worker", "api"),
    "DARKROOM_WEBHOOK_SECRET": ("worker", "api"),
    "DARKROOM_API_KEYS": ("api",),
    "DARKROOM_METRICS_TOKEN": ("api",),
    "DARKROOM_UPSTREAM_KEY": ("worker",),
    "DARKROOM_SANDBOX_KEY": ("sandbox",),
    "DARKROOM_KEY": (),
}
"""Who is given which secret. The others get it empty, because a `.env` beside them may name it as well."""


def environment_of(part: str, everything: Mapping[str, str]) -> dict[str, str]:
    """The environment of that part, out of the shell's and the stack's."""
    used = {name: value for name, value in everything.items() if _is_for(part, name)}
    return used | {name: "" for name, parts in SECRETS.items() if part not in parts and part != "redis"}


def _is_for(part: str, name: str) -> bool:
    return not name.startswith(NAMED) or name.startswith(USED_BY[part])
