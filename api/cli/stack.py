"""The whole product on one machine: Redis, sandbox, worker, API and Flower as children of one process.

Children run in sessions of their own and are stopped in reverse order. Each is started under a watchdog that ends it
when this process is gone, however it went: nothing is left behind, not even after `kill -9`.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.embedded import EmbeddedRedis, NoServer, free_port
from config.settings import stop

READY_SECONDS = 40.0
STOP_SECONDS = 30.0
TAIL_LINES = 15
WATCHDOG = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], start_new_session=True, stdin=subprocess.DEVNULL)
def tell(number, frame): child.send_signal(number)
signal.signal(signal.SIGTERM, tell); signal.signal(signal.SIGINT, signal.SIG_IGN)
def watch():
    sys.stdin.buffer.read()
    child.terminate()
    try: child.wait(20)
    except subprocess.TimeoutExpired: os.killpg(child.pid, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait() & 0xFF)
"""
"""Runs a command and passes SIGTERM on; its standard input ends when the stack's process does, and then so does it."""


@dataclass(frozen=True)
class Ports:
    """Where the parts listen."""

    api: int
    sandbox: int
    flower: int
    redis: int


@dataclass
class Stack:
    """See the module. `folder` keeps secrets, data and logs."""

    folder: Path
    ports: Ports
    key: str
    secret: str
    flower_password: str
    extra: dict[str, str] = field(default_factory=dict)
    _children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _redis: EmbeddedRedis | None = None

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
        """Starts everything and waits until it answers; stops what it started where something does not."""
        try:
            tell("Redis")
            environment = self._environment(self._start_redis())
            for name, command in self._commands().items():
                tell(name)
                self._children[name] = self._spawn(name, command, environment)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops everything, last started first."""
        children = list(reversed(self._children.items()))
        for _, child in children:
            if child.poll() is None:
                child.terminate()
        for _, child in children:
            _ended(child)
        if self._redis:
            self._redis.stop()

    def dead(self) -> str | None:
        """The name of a part that ended by itself, if one did."""
        return next((name for name, child in self._children.items() if child.poll() is not None), None)

    def tail(self, name: str) -> str:
        """The last lines of a part's log."""
        path = self.folder / "logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if path.exists() else ""

    def _start_redis(self) -> str:
        given = os.environ.get("DARKROOM_REDIS_URL")
        if given:
            return given
        self._redis = EmbeddedRedis(self.folder / "redis", self.ports.redis)
        try:
            # in a session of its own, so that Ctrl-C reaches us first and Redis last
            self._redis.start()
        except NoServer as error:
            stop(str(error))
        return self._redis.url

    def _environment(self, redis_url: str) -> dict[str, str]:
        ours = {
            "DARKROOM_REDIS_URL": redis_url,
            "DARKROOM_PORT": str(self.ports.api),
            "DARKROOM_PUBLIC_URL": self.api_url,
            "DARKROOM_SECRET": self.secret,
            "DARKROOM_API_KEYS": f"demo:{self.key}",
            "DARKROOM_UPSTREAM_URL": f"{self.sandbox_url}/api/v1/enterprise",
            "DARKROOM_UPSTREAM_KEY": "sandbox",
            "DARKROOM_SANDBOX_PORT": str(self.ports.sandbox),
            "DARKROOM_ALLOW_PRIVATE_ADDRESSES": "true",
            "DARKROOM_IMAGES_URL": f"file://{self.images.resolve()}",
            "FLOWER_BASIC_AUTH": f"demo:{self.flower_password}",
        }
        return os.environ | ours | self.extra

    def _commands(self) -> dict[str, list[str]]:
        python = sys.executable
        flower = ["flower", "--address=127.0.0.1", f"--port={self.ports.flower}", "--max_tasks=5000"]
        return {
            "sandbox": [python, "-m", "worker.upstream"],
            "worker": [python, "-m", "worker"],
            "api": [python, "-m", "api"],
            "flower": [python, "-m", "celery", "-A", "worker.app:app", *flower],
        }

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        path = self.folder / "logs" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", WATCHDOG, *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._ready():
            name = self.dead()
            if name or time.monotonic() > until:
                stop(f"{name or 'the stack'} did not start. Its last words:\n{self.tail(name or 'worker')}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        facts = _get_json(f"{self.api_url}/readyz")
        workers = facts.get("workers", 0) if facts else 0
        return workers >= 2 and _answers(f"{self.sandbox_url}/bill") and _answers(f"{self.flower_url}/healthcheck")


def new_stack(folder: Path, *, may_move: bool, **extra: str) -> Stack:
    """A stack in that folder with the secrets it had before; a busy port is moved, or is one sentence and the end."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept_secrets(folder / "secrets.json")
    ports = Ports(
        api=_port("DARKROOM_PORT", 8000, may_move=may_move),
        sandbox=_port("DARKROOM_SANDBOX_PORT", 8001, may_move=may_move),
        flower=_port("FLOWER_PORT", 5555, may_move=may_move),
        redis=free_port(),
    )
    return Stack(folder, ports, kept["key"], kept["secret"], kept["flower_password"], extra)


def _kept_secrets(path: Path) -> dict[str, str]:
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {
        "key": f"dk_{secrets.token_urlsafe(24)}",
        "secret": secrets.token_hex(32),
        "flower_password": secrets.token_urlsafe(12),
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(made))
    return made


def _port(setting: str, default: int, *, may_move: bool) -> int:
    wanted = int(os.environ.get(setting, default))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            if may_move and setting not in os.environ:
                return free_port()
            stop(f"port {wanted} is in use: stop what listens there or set {setting}.")
    return wanted


def _get_json(url: str) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            facts: dict[str, int] = json.load(answer)
            return facts
    except (OSError, ValueError):
        return None


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _ended(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdin:
        child.stdin.close()
