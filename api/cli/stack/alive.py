"""`darkroom alive PART`: the health check of a container, run inside it. Prints nothing; the exit code tells."""

import argparse
import asyncio
import platform
import urllib.request
from pathlib import Path

from api.cli.stack.running import settings_here
from config.broker import QUEUES
from config.settings import Settings
from worker.store.condition import alive_among

SECONDS = 3.0
ROLES = len(QUEUES)
"""Celery workers in one worker container: one for each queue."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which part to check."""
    parser.add_argument("part", choices=("api", "worker", "flower", "sandbox"))


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if the part on this machine answers, else 1."""
    settings = settings_here()
    if arguments.part == "worker":
        return 0 if _workers_here(settings) >= ROLES else 1
    addresses = {
        "api": f"http://127.0.0.1:{settings.port}/healthz",
        "flower": "http://127.0.0.1:5555/healthcheck",
        "sandbox": f"http://127.0.0.1:{settings.sandbox_port}/bill?track_id=none",
    }
    return 0 if _answers(addresses[arguments.part]) else 1


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=SECONDS).close()
    except OSError:
        return False
    return True


def _workers_here(settings: Settings) -> int:
    """How many processes of this container have sent a heartbeat (worker/heartbeat.py) to Redis lately."""
    from redis.exceptions import RedisError

    pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    try:
        return asyncio.run(_heard(settings, [f"{platform.node()}:{pid}" for pid in pids]))
    except (RedisError, OSError, TimeoutError):
        return 0


async def _heard(settings: Settings, names: list[str]) -> int:
    from worker.store.lane import connect

    redis = connect(settings.redis_url.get_secret_value(), SECONDS)
    try:
        async with asyncio.timeout(SECONDS):
            return await alive_among(redis, names)
    finally:
        await redis.aclose(close_connection_pool=True)
