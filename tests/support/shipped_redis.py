"""Redis as docker-compose.yml starts it: by deploy/redis/start.sh, with its configuration and its users.

The only addition is a user for the test itself, who reads what Redis refused (ACL LOG) and asks what it would refuse.
"""

import os
import secrets
import shutil
import subprocess
import time
from hashlib import sha256
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from api.cli.stack.redis_server import find_server, free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "redis"
ROLES = ("api", "worker", "flower", "operator")
START_SECONDS = 10.0


class ShippedRedis:
    """One server in that folder; `url_of(role)` is how that role reaches it.

    `script` and `arguments` are start.sh's, or sentinel.sh's; `more` is further environment.
    """

    def __init__(self, folder: Path, script: str = "start.sh", *arguments: str, **more: str) -> None:
        self.folder, self.port = folder, free_port()
        self.passwords = {role: secrets.token_hex(32) for role in (*ROLES, "test")}
        self._name, self._arguments, self._more = script, arguments, more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How the command line reaches it."""
        return self.url_of("operator")

    def url_of(self, role: str) -> str:
        """The address with that role's user and password."""
        return f"redis://{role}:{self.passwords[role]}@127.0.0.1:{self.port}/0"

    def client(self, role: str) -> Redis:
        """A plain client that is that role."""
        return Redis.from_url(self.url_of(role), decode_responses=True)

    def start(self) -> None:
        """Runs the script and waits until the server answers."""
        self.folder.mkdir(exist_ok=True)
        command = ["sh", str(self._script()), "--port", str(self.port), "--bind", "127.0.0.1", *self._arguments]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < until, (self.folder / "redis.log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it."""
        if self._process:
            self._process.terminate()
            self._process.wait(15)

    def environment(self) -> dict[str, str]:
        """What compose gives the container; `redis-server` is whatever server there is."""
        for name in ("bin", "run", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        (program := self.folder / "bin" / "redis-server").unlink(missing_ok=True)
        program.symlink_to(find_server())
        passwords = {f"DARKROOM_REDIS_{role.upper()}_PASSWORD": self.passwords[role] for role in ROLES}
        places = {"DARKROOM_RUN": str(self.folder / "run"), "DARKROOM_DATA": str(self.folder / "data")}
        return os.environ | passwords | places | self._more | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def command_line(self) -> str:
        """What `ps` shows of the server, and what its environment holds."""
        assert self._process
        process = Path("/proc") / str(self._process.pid)
        return (process / "cmdline").read_text() + (process / "environ").read_text()

    def _script(self) -> Path:
        copy = self.folder / "shipped"
        shutil.copytree(SHIPPED, copy, dirs_exist_ok=True)
        digest = sha256(self.passwords["test"].encode()).hexdigest()
        for name in ("users.acl", "users.of-sentinel.acl"):
            with (copy / name).open("a") as users:
                users.write(f"user test reset on #{digest} +acl +command +role +@connection\n")
        return copy / self._name

    def _answers(self) -> bool:
        try:
            with self.client("test") as redis:
                return bool(redis.ping())
        except RedisConnectionError:
            return False
