"""Redis' users, real: with the files that compose uses, every role does its work, and nothing else.

One stack for the whole file. What it was refused while a job went through is in Redis' own log of refusals.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError

from api.cli.stack.redis_server import free_port
from config.broker import KEY_PREFIX
from tests.support.processes import Installation, until
from tests.support.shipped_redis import ROLES, SHIPPED, ShippedRedis
from worker.store.keys import FAMILIES

ROOT = Path(__file__).parents[2]
LUA = "\n".join(path.read_text() for path in (ROOT / "worker" / "store" / "lua").rglob("*.lua"))
COMMANDS = sorted(set(re.findall(r"redis\.p?call\('([A-Z]+)'", LUA)))
"""What our scripts call."""
QUEUE = f"{KEY_PREFIX}submit"
NOT_OF = {"api": ("keys", KEY_PREFIX), "worker": ("keys",), "operator": ()}
"""Families that a role may not write, by the beginnings of their names; of Celery's the API may write four queues."""


class ByRole(Installation):
    """An installation whose processes reach Redis each as its own user, Flower among them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shipped = ShippedRedis(folder)
        self.redis = self.shipped  # type: ignore[assignment]
        self.settings["DARKROOM_REDIS_URL"] = self.shipped.url_of("operator")
        self.flower_port = free_port()

    def start(self, module: str, *arguments: str, name: str = "", **settings: str) -> "subprocess.Popen[bytes]":
        """With the user of that part."""
        role = {"api": "api", "worker": "worker", "celery": "flower"}.get(module, "operator")
        return super().start(module, *arguments, name=name, **{"redis_url": self.shipped.url_of(role)} | settings)

    def start_flower(self) -> None:
        """As compose does, on a port of its own."""
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        _, *words = compose["services"]["flower"]["command"]
        self.start("celery", *words, f"--port={self.flower_port}", "--address=127.0.0.1", "--basic_auth=a:b")

    def tasks_in_flower(self) -> dict[str, object] | None:
        """What Flower has seen, None while it does not answer."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.flower_port}/api/tasks", auth=("a", "b"))
        except httpx.HTTPError:
            return None
        return dict(answer.json()) if answer.status_code == 200 else None


def asks_workers(refusal: dict[str, str]) -> bool:
    """Whether it is Flower asking workers by remote control, which it cannot be told not to try."""
    return refusal["username"] == "flower" and refusal["object"] == "evalsha"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByRole]:
    """One for all that is asked of it."""
    running = ByRole(tmp_path_factory.mktemp("users"))
    with running:
        running.start_flower()
        yield running


@pytest.fixture
def admin(stack: ByRole) -> Iterator[Redis]:
    """The test's own user, who may ask what others may."""
    with stack.shipped.client("test") as redis:
        yield redis


def test_every_role_does_its_work_and_is_refused_nothing(stack: ByRole, admin: Redis) -> None:
    """A job, seen by Flower; then the operator's verbs, a key among them that the API takes."""
    until(lambda: stack.tasks_in_flower() is not None, what="Flower")
    job = stack.post(webhook=f"{stack.client.base_url}/healthz")
    assert stack.reaches(job["id"], "succeeded", "failed")["status"] == "succeeded"
    until(stack.tasks_in_flower, what="a task in Flower")
    for words in (["doctor"], ["audit"], ["flow"], ["usage"], ["deliveries"], ["keys", "list"]):
        done = stack.run(*words)
        assert done.returncode in (0, 1), (words, done.stdout, done.stderr)
        assert "NoPermission" not in done.stdout + done.stderr, done.stdout
    made = stack.run("keys", "make", "beta").stdout.split()
    key = next(word for word in made if word.startswith("dk_"))
    bearer = {"authorization": f"Bearer {key}"}
    until(lambda: stack.client.get("/v1/jobs", headers=bearer).status_code == 200, what="the new key")
    assert stack.client.delete(f"/v1/jobs/{job['id']}").status_code in (200, 204)
    refused = [each for each in admin.acl_log() if not asks_workers(each)]
    assert not refused, [(each["username"], each["reason"], each["object"], each["context"]) for each in refused]


@pytest.mark.parametrize("role", ["api", "worker", "operator"])
def test_every_key_and_command_of_ours_is_allowed(admin: Redis, role: str) -> None:
    """By asking Redis itself, for every family of keys and every command of the scripts."""
    keys = [family.pattern.replace("<", "").replace(">", "") for family in FAMILIES.values()]
    for key in [each for each in keys if not each.startswith(NOT_OF[role])]:
        assert admin.acl_dryrun(role, "SET", key, "x") == "OK", key
    for name, found in admin.execute_command("COMMAND", "INFO", *COMMANDS).items():
        word = "events" if name.upper() == "PUBLISH" else "job:x"
        assert admin.acl_dryrun(role, name, *[word] * (abs(found["arity"]) - 1)) == "OK", name
    for words in (["INFO"], ["CONFIG", "GET", "appendonly"], ["CLUSTER", "INFO"], ["WAIT", "1", "1"]):
        assert admin.acl_dryrun(role, *words) == "OK", "the check of a server at start, and replicas"


ADMIN = (
    ["FLUSHALL"], ["FLUSHDB"], ["CONFIG", "SET", "appendonly", "no"], ["CONFIG", "REWRITE"], ["SHUTDOWN"],
    ["ACL", "SETUSER", "x"], ["ACL", "LIST"], ["REPLICAOF", "127.0.0.1", "1"], ["KEYS", "*"], ["DEBUG", "SLEEP", "1"],
    ["MODULE", "LIST"], ["MONITOR"], ["SAVE"], ["CLIENT", "KILL", "ID", "1"], ["CLIENT", "LIST"], ["SCRIPT", "FLUSH"],
    ["FUNCTION", "FLUSH"], ["SWAPDB", "0", "1"], ["MIGRATE", "h", "1", "k", "0", "1"], ["LATENCY", "RESET"],
)  # fmt: skip


@pytest.mark.parametrize("role", [*ROLES, "health"])
def test_no_role_administers(admin: Redis, role: str) -> None:
    """Nobody of ours empties, reconfigures or stops the record, or looks over another's shoulder."""
    for command in ADMIN:
        assert admin.acl_dryrun(role, *command) != "OK", command


REFUSED = {
    "flower": (
        ["HGETALL", "job:x"], ["GET", "webhook_secret"], ["LRANGE", QUEUE, 0, -1], ["LPUSH", QUEUE, "x"],
        ["PUBLISH", "events", "x"], ["SUBSCRIBE", "events"], ["EVAL", "return 1", 0], ["CONFIG", "GET", "*"],
        ["DEL", QUEUE], ["SCAN", 0], ["HGETALL", "keys"],
    ),
    "api": (
        ["HSET", "keys", "a", "b"], ["EVAL", "return redis.call('HSET', 'keys', 'a', 'b')", 0], ["BRPOP", QUEUE, 1],
        ["SADD", f"{KEY_PREFIX}_kombu.binding.submit", "x"], ["LPUSH", f"{KEY_PREFIX}celery.pidbox", "x"],
        ["PUBLISH", f"{KEY_PREFIX}/0.celery.pidbox", "x"], ["SCAN", 0],
    ),
    "worker": (["HGETALL", "keys"], ["HSET", "keys", "a", "b"], ["SCAN", 0]),
}  # fmt: skip


@pytest.mark.parametrize("role", ["api", "worker", "flower"])
def test_a_role_is_refused_what_is_another_s(stack: ByRole, role: str) -> None:
    """For real, on its own connection; a script has no more rights than who runs it."""
    with stack.shipped.client(role) as redis:
        for command in REFUSED[role]:
            with pytest.raises(ResponseError, match="ermission"):
                redis.execute_command(*command)


def test_nobody_comes_in_without_a_password(stack: ByRole) -> None:
    """Neither without a name nor with a wrong word, nor as `default`."""
    port = stack.shipped.port
    for login in ("", "api:wrong@", ":@", f":{stack.shipped.passwords['api']}@", "default:@"):
        with Redis.from_url(f"redis://{login}127.0.0.1:{port}/0") as redis, pytest.raises(AuthenticationError):
            redis.ping()


def test_no_password_is_shown(stack: ByRole) -> None:
    """Neither in the server's command line or environment nor in a file: there are digests only."""
    run = stack.folder / "run"
    shown = stack.shipped.command_line() + (run / "users.acl").read_text()
    assert not [role for role in ROLES if stack.shipped.passwords[role] in shown]
    assert {path.stat().st_mode & 0o077 for path in run.iterdir()} == {0}


def test_a_missing_or_weak_password_is_one_sentence(stack: ByRole) -> None:
    """Before anything starts."""
    for bad, why in (("", "not set"), ("short", "shorter than 32"), ("a" * 40 + "@", "not only letters and digits")):
        environment = stack.shipped.environment() | {"DARKROOM_REDIS_FLOWER_PASSWORD": bad}
        done = subprocess.run(
            ["sh", str(SHIPPED / "start.sh")], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert f"DARKROOM_REDIS_FLOWER_PASSWORD is {why}" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not done.stdout
