"""What the commands say while Redis is away, and of names that do not exist; Ctrl-C on the API.

Setup: our real commands. Proves: one sentence and an exit code of its own, no traceback, no phantom tenant.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api.cli.stack.redis_server import free_port
from tests.support.commands import darkroom
from tests.support.processes import Installation, until

AWAY = 3
VERBS = [
    ["audit"], ["audit", "--repair"], ["callbacks"], ["callbacks", "--match"], ["doctor"], ["flow"], ["usage"],
    ["pause"], ["resume"], ["limit", "--tenant", "acme", "rate=1"], ["explain", "01M859N4P0ZK88SXJWVC1PBXXR"],
    ["bulk", "cancel", "--all-tenants"], ["deliveries", "--state", "pending"], ["webhooks", "endpoints", "acme"],
    ["keys", "list"],
]  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of an installation whose Redis is not there."""
    return os.environ | {
        "DARKROOM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "DARKROOM_SECRET": "a-secret-for-tests-0123456789",
        "DARKROOM_UPSTREAM_KEY": "sandbox",
        "DARKROOM_UPSTREAM_URL": "http://127.0.0.1:1/api",
        "DARKROOM_PUBLIC_URL": "http://127.0.0.1:1",
        "DARKROOM_ALLOW_PRIVATE_ADDRESSES": "true",
        "DARKROOM_IMAGES_URL": f"file://{tmp_path / 'images'}",
    }


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_redis_away_is_said_in_a_sentence_with_a_code_of_its_own(
    words: list[str], environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 means findings, or no such thing: cron must tell the two apart. An error that nobody caught would fail here."""
    monkeypatch.chdir(tmp_path)  # away from a stack that runs here
    ended = darkroom(environment, words)
    said = ended.stdout + ended.stderr
    assert ended.returncode == AWAY, said
    assert "Traceback" not in said
    assert "does not answer" in said


def test_redis_away_as_a_process_sees_it(environment: dict[str, str]) -> None:
    """The code and the sentence, from outside."""
    command = [sys.executable, "-m", "api.cli.main", "flow"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (AWAY, "")
    assert ended.stderr.startswith("darkroom: Redis does not answer")
    assert len(ended.stderr.splitlines()) == 1


def test_a_tenant_that_does_not_exist_is_refused_with_those_that_are_near(here: Installation) -> None:
    """And is not made; one with a key exists, one that is still to come can be said to be new."""
    for words in (["pause", "--tenant", "acmee"], ["limit", "--tenant", "acmee", "rate=5"], ["usage", "acmee"],
                  ["resume", "--tenant", "acmee"]):  # fmt: skip
        refused = here.run(*words)
        assert (refused.returncode, "known are: acme" in refused.stderr) == (1, True), refused.stderr
    with Redis.from_url(here.redis.url) as redis:
        assert redis.smembers("tenants") == set()
        assert here.run("limit", "--tenant", "other", "rate=5").returncode == 0
        assert here.run("limit", "--tenant", "soon", "--new", "rate=5").returncode == 0
        assert redis.smembers("tenants") == {b"other", b"soon"}


def test_ctrl_c_ends_the_api_without_a_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    """Also with a connection open; 130 as every command."""
    port = free_port()
    log = tmp_path / "api.log"
    with log.open("wb") as out:
        api = subprocess.Popen(
            [sys.executable, "-m", "api"], env=environment | {"DARKROOM_PORT": str(port)}, stdout=out, stderr=out
        )
    until(lambda: _answers(port), what="the API")
    api.send_signal(signal.SIGINT)
    assert api.wait(20) == 130
    assert "Traceback" not in log.read_text()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except (OSError, httpx.TransportError):
        return False
