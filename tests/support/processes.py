"""Our real processes for end-to-end tests: started, killed, restarted; and a client that speaks to them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from api.cli.stack.alive import ROLES
from api.cli.stack.redis_server import EmbeddedRedis, free_port
from tests.support.commands import Done, darkroom

KEY = "e2e-key-0123456789"
SECONDS = 30.0


def until(condition: Callable[[], Any], seconds: float = SECONDS, what: str = "the condition") -> Any:
    """What the condition gives once it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.03)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Installation:
    """Redis, sandbox, API and worker of one test, each a real process."""

    def __init__(self, folder: Path, *, maxmemory: str = "0", **settings: str) -> None:
        self.folder = folder
        self.api_port, self.sandbox_port = free_port(), free_port()
        self.redis = EmbeddedRedis(folder / "redis", free_port(), maxmemory=maxmemory)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.settings = {
            "DARKROOM_REDIS_URL": self.redis.url,
            "DARKROOM_PORT": str(self.api_port),
            "DARKROOM_PUBLIC_URL": f"http://127.0.0.1:{self.api_port}",
            "DARKROOM_SECRET": "a-secret-for-tests-0123456789",
            "DARKROOM_API_KEYS": f"acme:{KEY},other:other-{KEY}",
            "DARKROOM_UPSTREAM_URL": f"http://127.0.0.1:{self.sandbox_port}/api/v1/enterprise",
            "DARKROOM_UPSTREAM_KEY": "sandbox",
            "DARKROOM_IMAGE_HOSTS": "127.0.0.1",
            "DARKROOM_SANDBOX_PORT": str(self.sandbox_port),
            "DARKROOM_SANDBOX_SECONDS": "0.3",
            "DARKROOM_ALLOW_PRIVATE_ADDRESSES": "true",
            "DARKROOM_IMAGES_URL": f"file://{folder / 'images'}",
            "DARKROOM_LEASE_SECONDS": "2",
            "DARKROOM_TICK_SECONDS": "0.1",
            "DARKROOM_LOG_FORMAT": "json",
            "C_FORCE_ROOT": "1",
        } | {f"DARKROOM_{name.upper()}": value for name, value in settings.items()}
        headers = {"authorization": f"Bearer {KEY}"}
        self.client = httpx.Client(base_url=self.settings["DARKROOM_PUBLIC_URL"], headers=headers, timeout=20)

    def __enter__(self) -> "Installation":
        self.redis.start()
        for name in ("worker.upstream", "api", "worker"):
            self.start(name)
        until(lambda: self.ready() and self.ready()["workers"] >= ROLES, what="ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for process in self.processes.values():  # at once: each may take its time to end
            if process.poll() is None:
                process.terminate()
        for name in list(self.processes):
            self.stop(name)
        self.redis.stop()

    def start(self, module: str, *arguments: str, name: str = "", **settings: str) -> "subprocess.Popen[bytes]":
        """Starts `python -m module`, its output in a file of that name."""
        name = name or module
        environment = os.environ | self.settings | {f"DARKROOM_{key.upper()}": value for key, value in settings.items()}
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.processes[name] = process
        return process

    def stop(self, name: str) -> int:
        """SIGTERM, and its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(SECONDS)
        finally:
            self.kill_group(process)

    def kill(self, name: str) -> None:
        """SIGKILL to the process and its children, at this moment."""
        self.kill_group(self.processes.pop(name))

    @staticmethod
    def kill_group(process: "subprocess.Popen[bytes]") -> None:
        """Whatever is left of a process and the children in its session, and of those in sessions of their own."""
        for pid in [process.pid, *children_of(process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(SECONDS)

    def ready(self) -> dict[str, Any] | None:
        """/readyz, or None where nothing answers."""
        try:
            answer: dict[str, Any] = self.client.get("/readyz").json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return None
        return answer if answer["status"] == "ready" else None

    def post(self, prompt: str = "a cat", **more: Any) -> dict[str, Any]:
        """Accepts a job and gives it as answered."""
        answer = self.client.post(
            "/v1/jobs", json={"model_id": "m", "prompt": prompt, "width": 64, "height": 64} | more
        )
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").json()
        return job

    def reaches(self, job_id: str, *statuses: str, seconds: float = SECONDS) -> dict[str, Any]:
        """The job once it has one of these statuses."""
        found: dict[str, Any] = until(
            lambda: (job := self.job(job_id)) and job["status"] in statuses and job, seconds, f"{statuses}"
        )
        return found

    def bill(self, job_id: str) -> list[dict[str, Any]]:
        """The sandbox's rows for all attempts of a job."""
        rows = httpx.get(f"http://127.0.0.1:{self.sandbox_port}/bill", timeout=20).json()["posts"]
        return [row for row in rows if str(row["track_id"]).startswith(job_id)]

    def run(self, *words: str) -> Done:
        """`darkroom` with these words, to its end, in this process; no key is in what it says, but one just made."""
        done = darkroom(self.settings, words)
        assert KEY not in done.stdout + done.stderr
        return done

    def run_as_process(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """The same as a process of its own, as a shell runs it."""
        command = [sys.executable, "-m", "api.cli.main", *words]
        return subprocess.run(command, env=os.environ | self.settings, capture_output=True, text=True, check=False)

    def log(self, name: str) -> str:
        """Everything that a process has said."""
        return (self.folder / f"{name}.log").read_text()


def children_of(pid: int) -> list[int]:
    """Process ids of all descendants, whatever their session."""
    out = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in out.splitlines()]
    found, wanted = [], {pid}
    while wanted:
        wanted = {child for child, parent in rows if parent in wanted}
        found += list(wanted)
    return found
