"""What stops a process at start, with one sentence; what does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port

WELL = {"DARKROOM_SECRET": "a-secret-for-tests-0123456789", "DARKROOM_UPSTREAM_KEY": "sandbox", "C_FORCE_ROOT": "1"}


def started(module: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | WELL | {"DARKROOM_PORT": str(free_port())} | settings
    command = [sys.executable, "-m", module]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", ["api", "worker"])
def test_a_redis_that_would_evict_jobs_stops_the_process(module: str, tmp_path: Path) -> None:
    """One sentence saying what to set, and exit code 2; no restart in circles."""
    server = EmbeddedRedis(tmp_path, free_port())
    server.start()
    try:
        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory-policy", "allkeys-lru")
        ended = started(module, DARKROOM_REDIS_URL=server.url)
    finally:
        server.stop()
    assert ended.returncode == 2
    assert "set maxmemory-policy to noeviction" in ended.stderr


@pytest.mark.parametrize(
    ("module", "setting", "value", "words"),
    [
        ("api", "DARKROOM_SECRET", "", "DARKROOM_SECRET is not set"),
        ("api", "DARKROOM_SECRET", "short", "DARKROOM_SECRET is too short"),
        ("worker", "DARKROOM_SECRET", "", "DARKROOM_SECRET is not set"),
        ("api", "DARKROOM_API_KEYS", "nonsense", "DARKROOM_API_KEYS must be tenant:key pairs"),
        ("api", "DARKROOM_PORT", "many", "DARKROOM_PORT is not usable"),
        ("worker", "DARKROOM_UPSTREAM_KEY", "", "DARKROOM_UPSTREAM_KEY is not set"),
        ("worker", "DARKROOM_IMAGES_URL", "ftp://x", "DARKROOM_IMAGES_URL is not usable"),
        ("worker", "DARKROOM_ON_UNKNOWN", "acme:pray", "DARKROOM_ON_UNKNOWN is not usable"),
    ],
)
def test_a_bad_setting_stops_the_process_with_one_sentence(module: str, setting: str, value: str, words: str) -> None:
    """Naming the setting."""
    ended = started(module, DARKROOM_REDIS_URL="redis://127.0.0.1:1/0", **{setting: value})
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
