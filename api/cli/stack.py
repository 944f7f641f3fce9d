"""The whole product on one machine: Redis, sandbox, worker, API and Flower as children of one process."""

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

from api.cli.children import Children
from api.cli.premises import Ports, Secrets, choose_ports, kept_secrets, lock_folder
from config.embedded import EmbeddedRedis, NoServer
from config.settings import stop

READY_SECONDS = 40.0
STOP_ORDER = (("api", "flower"), ("worker",), ("sandbox",), ("redis",))
"""No new jobs; then the worker, which waits for the answers that it has paid for; then what it spoke to."""


@dataclass(frozen=True)
class Stack:
    """See the module. Everything it keeps is in its folder: secrets, logs, Redis' files, pictures."""

    folder: Path
    ports: Ports
    secrets: Secrets
    children: Children
    http: httpx.Client

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.sandbox}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.flower}"

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Starts everything and returns once it answers. One sentence and the end where something does not."""
        tell("redis")
        environment = self._environment(self._start_redis())
        for name, command in _commands(self.ports).items():
            tell(name)
            self.children.start(name, command, environment)
        self._wait_for(self._is_ready)

    def stop(self) -> None:
        """Stops what was started, in order."""
        for names in STOP_ORDER:
            self.children.stop(*names)
        self.http.close()

    def _start_redis(self) -> str:
        if given := os.environ.get("DARKROOM_REDIS_URL"):
            return given
        redis = EmbeddedRedis(self.folder / "redis", self.ports.redis)
        try:
            self.children.start("redis", redis.command(), os.environ)
        except NoServer as error:
            stop(str(error))
        self._wait_for(redis.answers)
        return redis.url

    def _environment(self, redis_url: str) -> dict[str, str]:
        return os.environ | {
            "DARKROOM_REDIS_URL": redis_url,
            "DARKROOM_HOST": "127.0.0.1",
            "DARKROOM_PORT": str(self.ports.api),
            "DARKROOM_PUBLIC_URL": self.api_url,
            "DARKROOM_SECRET": self.secrets.secret,
            "DARKROOM_API_KEYS": f"demo:{self.secrets.key}",
            "DARKROOM_UPSTREAM_URL": f"{self.sandbox_url}/api/v1/enterprise",
            "DARKROOM_UPSTREAM_KEY": "sandbox",
            "DARKROOM_SANDBOX_KEY": "sandbox",
            "DARKROOM_SANDBOX_HOST": "127.0.0.1",
            "DARKROOM_SANDBOX_PORT": str(self.ports.sandbox),
            "DARKROOM_SANDBOX_PUBLIC_URL": self.sandbox_url,
            "DARKROOM_ALLOW_PRIVATE_ADDRESSES": "true",
            "DARKROOM_IMAGES_URL": f"file://{self.images}",
            "FLOWER_BASIC_AUTH": f"demo:{self.secrets.flower_password}",
        }

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + READY_SECONDS
        while not condition():
            name = self.children.dead()
            if name or time.monotonic() > until:
                words = self.children.last_words(name or "worker")
                stop(f"{name or 'the stack'} did not start. Its last words:\n{words}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        addresses = (f"{self.api_url}/readyz", f"{self.sandbox_url}/bill", f"{self.flower_url}/healthcheck")
        facts, bill, flower = map(self._answer, addresses)
        return facts is not None and bill is not None and flower is not None and facts.json().get("workers", 0) >= 2

    def _answer(self, url: str) -> httpx.Response | None:
        try:
            return self.http.get(url)
        except httpx.TransportError:
            return None


@contextmanager
def running_stack(folder: Path, *, throwaway: bool, tell: Callable[[str], None] = lambda _: None) -> Iterator[Stack]:
    """A stack in that folder, with the secrets it had before, stopped again when the block ends, by a signal as well.

    A folder or a port that is in use ends the process with one sentence. A throwaway one forgets the jobs and logs of
    the last time, moves to other ports where the usual ones are busy, and does not look at `.env`.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack = _new_stack(folder.resolve(), throwaway=throwaway)
    try:
        stack.start(tell)
        yield stack
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # stopping is under way: asking twice must not break it
        stack.stop()


def _new_stack(folder: Path, *, throwaway: bool) -> Stack:
    lock = lock_folder(folder)
    if throwaway:
        shutil.rmtree(folder / "redis", ignore_errors=True)
        shutil.rmtree(folder / "logs", ignore_errors=True)
    ports = choose_ports(may_move=throwaway)
    children = Children(folder / "logs", folder if throwaway else Path.cwd(), lock)
    # nothing on this machine is asked through a proxy
    http = httpx.Client(trust_env=False, timeout=10)
    return Stack(folder, ports, kept_secrets(folder / "secrets.json"), children, http)


def _commands(ports: Ports) -> dict[str, list[str]]:
    python = sys.executable
    flower = ["flower", "--address=127.0.0.1", f"--port={ports.flower}", "--max_tasks=5000"]
    return {
        "sandbox": [python, "-m", "worker.upstream"],
        "worker": [python, "-m", "worker"],
        "api": [python, "-m", "api"],
        "flower": [python, "-m", "celery", "-A", "worker.app:app", *flower],
    }
