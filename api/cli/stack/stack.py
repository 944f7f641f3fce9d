"""The whole stack on one machine: Redis, sandbox, worker, API and Flower as child processes."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from redis.exceptions import RedisError

from api.cli.stack.alive import ROLES
from api.cli.stack.children import Children
from api.cli.stack.environment import environment_of
from api.cli.stack.folder import Secrets, kept_secrets, lock_folder
from api.cli.stack.ports import Ports, choose_ports
from api.cli.stack.redis_server import EmbeddedRedis, NoServer
from api.cli.stack.running import Running, note_running
from config.settings import stop
from worker.store.lane import connect
from worker.upstream.chosen import PROVIDER

READY_SECONDS = 40.0
REDIS_SECONDS = 5.0
STOP_ORDER = (("api", "flower"), ("worker",), ("sandbox",), ("redis",))
"""First no new jobs; then the worker, which waits for answers to its POSTs; then the servers that it uses."""


@dataclass(frozen=True)
class Stack:
    """A stack. All its files are in its folder: secrets, logs, Redis' files, images."""

    folder: Path
    ports: Ports
    secrets: Secrets
    children: Children
    http: httpx.Client

    @property
    def api_url(self) -> str:
        """Where callers reach the API."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox upstream listens."""
        return f"http://127.0.0.1:{self.ports.sandbox}"

    @property
    def flower_url(self) -> str:
        """Where Flower listens."""
        return f"http://127.0.0.1:{self.ports.flower}"

    @property
    def images(self) -> Path:
        """The folder of the image store."""
        return self.folder / "images"

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Starts everything and returns when it answers. Ends the process with a sentence if a part does not."""
        tell("redis")
        redis_url = self._start_redis()
        environment = self._environment(redis_url)
        for name, command in _commands(self.ports).items():
            tell(name)
            self.children.start(name, command, environment_of(name, os.environ | environment))
        self._wait_until_nothing_is(self._missing)
        note_running(self.folder, Running(self.api_url, redis_url, _as_settings(environment)))

    def stop(self) -> None:
        """Stops all parts that were started, in order."""
        for names in STOP_ORDER:
            self.children.stop(*names)
        self.http.close()

    def _start_redis(self) -> str:
        if given := os.environ.get("DARKROOM_REDIS_URL"):
            _check_redis(given)
            return given
        redis = EmbeddedRedis(self.folder / "redis", self.ports.redis)
        try:
            self.children.start("redis", redis.command(), environment_of("redis", os.environ))
        except NoServer as error:
            stop(str(error))
        self._wait_until_nothing_is(lambda: None if redis.answers() else "redis")
        return redis.url

    def _environment(self, redis_url: str) -> dict[str, str]:
        return {
            "DARKROOM_REDIS_URL": redis_url,
            "DARKROOM_HOST": "127.0.0.1",
            "DARKROOM_PORT": str(self.ports.api),
            "DARKROOM_PUBLIC_URL": self.api_url,
            "DARKROOM_SECRET": self.secrets.secret,
            "DARKROOM_API_KEYS": f"demo:{self.secrets.key}",
            "DARKROOM_UPSTREAM_URL": f"{self.sandbox_url}{PROVIDER.base_path}",
            "DARKROOM_UPSTREAM_KEY": "sandbox",
            "DARKROOM_SANDBOX_KEY": "sandbox",
            "DARKROOM_SANDBOX_HOST": "127.0.0.1",
            "DARKROOM_SANDBOX_PORT": str(self.ports.sandbox),
            "DARKROOM_SANDBOX_PUBLIC_URL": self.sandbox_url,
            "DARKROOM_ALLOW_PRIVATE_ADDRESSES": "true",
            "DARKROOM_IMAGE_HOSTS": "127.0.0.1",
            "DARKROOM_IMAGES_URL": f"file://{self.images}",
            "FLOWER_BASIC_AUTH": f"demo:{self.secrets.flower_password}",
        }

    def _wait_until_nothing_is(self, missing: Callable[[], str | None]) -> None:
        until = time.monotonic() + READY_SECONDS
        while name := missing():
            dead = self.children.dead()
            if dead or time.monotonic() > until:
                name = dead or name
                stop(f"{name} did not start. Its last words:\n{self.children.last_words(name)}")
            time.sleep(0.05)

    def _missing(self) -> str | None:
        """The name of a part that does not answer yet, or None."""
        ready = self._answer(f"{self.api_url}/readyz")
        if ready is None or ready.json()["redis"] != "ok":
            return "api"
        if ready.json()["workers"] < ROLES:
            return "worker"
        rest = {"sandbox": f"{self.sandbox_url}/bill", "flower": f"{self.flower_url}/healthcheck"}
        return next((name for name, url in rest.items() if self._answer(url) is None), None)

    def _answer(self, url: str) -> httpx.Response | None:
        try:
            return self.http.get(url)
        except httpx.TransportError:
            return None


@contextmanager
def running_stack(folder: Path, *, throwaway: bool, tell: Callable[[str], None] = lambda _: None) -> Iterator[Stack]:
    """A stack in that folder, with the folder's secrets; stopped when the block ends, also by a signal.

    If the folder or a port is in use, the process ends with one sentence. A throwaway stack removes the jobs and logs
    of the last run, uses other ports if the usual ones are busy, and does not read `.env`.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack = _new_stack(folder.resolve(), throwaway=throwaway)
    try:
        stack.start(tell)
        yield stack
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it is stopping already: a second signal must not interrupt it
        stack.stop()


def _new_stack(folder: Path, *, throwaway: bool) -> Stack:
    lock = lock_folder(folder)
    if throwaway:
        shutil.rmtree(folder / "redis", ignore_errors=True)
        shutil.rmtree(folder / "logs", ignore_errors=True)
    ports = choose_ports(may_move=throwaway)
    children = Children(folder / "logs", folder if throwaway else Path.cwd(), lock)
    # no proxy for anything on this machine
    http = httpx.Client(trust_env=False, timeout=10)
    return Stack(folder, ports, kept_secrets(folder / "secrets.json"), children, http)


def _as_settings(environment: dict[str, str]) -> dict[str, str]:
    prefix = "DARKROOM_"
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)}


def _check_redis(url: str) -> None:
    try:
        asyncio.run(_ping(url))
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        reason = type(error).__name__
        stop(f"the Redis of DARKROOM_REDIS_URL does not answer ({reason}): start it, or unset that to use our own.")


async def _ping(url: str) -> None:
    redis = connect(url, REDIS_SECONDS)
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            await redis.ping()
    finally:
        await redis.aclose(close_connection_pool=True)


def _commands(ports: Ports) -> dict[str, list[str]]:
    python = sys.executable
    flower = ["flower", "--address=127.0.0.1", f"--port={ports.flower}", "--max_tasks=5000"]
    return {
        "sandbox": [python, "-m", "worker.upstream"],
        "worker": [python, "-m", "worker"],
        "api": [python, "-m", "api"],
        "flower": [python, "-m", "celery", "-A", "worker.app:app", *flower],
    }
