"""The one-command stack: it comes up from nothing, proves a job, and leaves nothing behind, however it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api.cli.stack.redis_server import free_port
from tests.support.processes import children_of, until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "api" / "example.json"
PROCESSES = 12
"""A watchdog for each part, the parts, and the worker's two Celery processes."""


class Command:
    """`darkroom VERB` in a folder of its own, with its output in a file."""

    def __init__(self, folder: Path, verb: str, **environment: str) -> None:
        self.folder = folder
        number, path = tempfile.mkstemp(dir=folder, prefix=f"{verb}-", suffix=".txt")
        self._output = Path(path)
        usual = {"PYTHONPATH": str(ROOT), "DARKROOM_SANDBOX_SECONDS": "0.2"}
        with os.fdopen(number, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.cli.main", verb],
                cwd=folder,
                env=os.environ | usual | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything it has said so far."""
        return self._output.read_text()

    def is_up(self) -> bool:
        """Whether it says that the stack is up; fails at once where it has ended instead."""
        assert self.process.poll() is None, self.said
        return "Darkroom is up" in self.said

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(60)


Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands in this test's folder; none outlives the test."""
    commands: list[Command] = []

    def start_one(verb: str, **environment: str) -> Command:
        commands.append(Command(tmp_path, verb, **environment))
        return commands[-1]

    yield start_one
    for command in commands:
        command.end()


@pytest.fixture
def ports() -> dict[str, str]:
    """Settings that keep a stack off the usual ports."""
    return {name: str(free_port()) for name in ("DARKROOM_PORT", "DARKROOM_SANDBOX_PORT", "FLOWER_PORT")}


@pytest.fixture
def up(start: Start, ports: dict[str, str]) -> Command:
    """`darkroom up`, running."""
    command = start("up", **ports)
    until(command.is_up, 60, "up")
    return command


def command_of(pid: int) -> str:
    """Its command line; of a watchdog, nothing."""
    out = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False).stdout
    return "" if "watchdog" in out else out.strip()


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that have not ended."""
    out = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    running = {int(line.split()[0]) for line in out.splitlines() if "Z" not in line.split()[1]}
    return [pid for pid in pids if pid in running]


def test_the_demo_shows_a_job_to_its_stored_image_and_leaves_nothing_running(start: Start) -> None:
    """On usual ports that are busy as well: it moves. Its own proof (bytes, bill, Flower) is part of its exit code."""
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", 8000))
            busy.listen()
        except OSError:
            pass  # somebody else keeps it busy, which is as good
        demo = start("demo")
        started = until(lambda: len(found := children_of(demo.process.pid)) >= PROCESSES and found, 60, "processes")
        assert demo.process.wait(90) == 0, demo.said
    assert "http://127.0.0.1:8000" not in demo.said
    states = re.findall(r"^ +[\d.]+ s +(\w+)", demo.said, re.M)
    assert states == ["queued", "submitting", "processing", "storing", "succeeded"]
    image = re.search(r"image +(\S+)", demo.said)
    assert image is not None
    assert Path(image[1]).read_bytes().startswith(b"\x89PNG")
    assert alive(started) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_order(up: Command, number: signal.Signals) -> None:
    """Ctrl-C is the way to stop it, so it is a success; asking again while it stops breaks nothing."""
    started = children_of(up.process.pid)
    assert len(started) >= PROCESSES
    up.process.send_signal(number)
    up.process.send_signal(number)
    assert up.process.wait(60) == 0, up.said
    assert "Traceback" not in up.said
    assert alive(started) == []


def test_nothing_outlives_a_killed_stack(up: Command) -> None:
    """Setup: up. Timeline: `kill -9` of the command alone. Proves: the watchdogs end every part, Redis too."""
    started = children_of(up.process.pid)
    assert len(started) >= PROCESSES
    up.process.kill()
    up.process.wait(10)
    until(lambda: alive(started) == [], 60, "the end of every part")


def test_a_part_that_dies_ends_the_stack_and_is_named(up: Command) -> None:
    """Half a stack would only look as if it worked."""
    started = children_of(up.process.pid)
    (api,) = (pid for pid in started if re.search(r"python\S* -m api$", command_of(pid)))
    os.kill(api, signal.SIGKILL)
    assert up.process.wait(60) == 1
    assert "api has ended" in up.said
    assert alive(started) == []


def test_the_next_start_has_the_same_key_and_the_same_jobs(tmp_path: Path, start: Start, ports: dict[str, str]) -> None:
    """Secrets are kept, readable by their owner only, and so is what was accepted; other commands find the stack."""
    first = start("up", **ports)
    until(first.is_up, 60, "up")
    kept = tmp_path / ".darkroom" / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    headers = {"authorization": f"Bearer {json.loads(kept.read_text())['key']}", "prefer": "wait=30"}
    base = f"http://127.0.0.1:{ports['DARKROOM_PORT']}"
    job = httpx.post(f"{base}/v1/jobs", content=EXAMPLE.read_bytes(), headers=headers, timeout=60).json()
    assert job["status"] == "succeeded"
    assert [str(path) for path in (tmp_path / ".darkroom").rglob("*") if path.stat().st_mode & 0o077] == []
    assert first.end() == 0
    second = start("up", **ports)
    until(second.is_up, 60, "up again")
    again = httpx.get(f"{base}/v1/jobs/{job['id']}", headers=headers).json()
    assert (again["status"], again["timeline"]) == ("succeeded", job["timeline"])
    assert httpx.get(job["images"][0]["url"]).status_code == 200
    assert [json.loads(line)["id"] for line in said_in(tmp_path, "list", "--json").splitlines()] == [job["id"]]
    made = {"authorization": f"Bearer {said_in(tmp_path, 'keys', 'make', 'demo').strip()}"}
    assert httpx.get(f"{base}/v1/jobs/{job['id']}", headers=made).status_code == 200


def said_in(folder: Path, *words: str) -> str:
    """What a command prints in the folder of a running stack, where nothing is set."""
    command = [sys.executable, "-m", "api.cli.main", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_busy_port_is_one_sentence_that_names_it_and_its_setting(start: Start, ports: dict[str, str]) -> None:
    """`up` does not move: people and upstreams have its addresses."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        command = start("up", **ports | {"FLOWER_PORT": str(port)})
        assert command.process.wait(30) == 2
    assert command.said.splitlines() == [
        f"darkroom: port {port} is in use: stop what listens there or set FLOWER_PORT."
    ]


def test_a_given_redis_that_does_not_answer_is_one_sentence(start: Start, ports: dict[str, str]) -> None:
    """Its address, which may hold a password, is not repeated."""
    command = start("up", DARKROOM_REDIS_URL=f"redis://:canary@127.0.0.1:{free_port()}/0", **ports)
    assert command.process.wait(30) == 2
    assert re.fullmatch(r"darkroom: the Redis of DARKROOM_REDIS_URL does not answer \(.+\): .+\n", command.said)
    assert "canary" not in command.said


def test_a_given_redis_is_used_and_left_running(start: Start, redis: Redis) -> None:
    """The demo's job is in it, and no other server was started."""
    url = redis.connection_pool.connection_kwargs
    demo = start("demo", DARKROOM_REDIS_URL=f"redis://:{url['password']}@127.0.0.1:{url['port']}/0")
    assert demo.process.wait(90) == 0, demo.said
    job_id = re.search(r"job (\S+)", demo.said)
    assert job_id is not None
    assert any(job_id[1].encode() in key for key in redis.scan_iter())
    assert not list(demo.folder.rglob("appendonlydir"))


def test_a_second_stack_in_the_same_folder_is_refused(up: Command, start: Start) -> None:
    """Two Redis on the same files would ruin what was accepted."""
    second = start("up")
    assert second.process.wait(30) == 2
    assert re.fullmatch(r"darkroom: a stack is running in \S+ already: stop that one first\.\n", second.said)
    assert up.process.poll() is None


def test_flower_asks_for_the_password(up: Command, ports: dict[str, str]) -> None:
    """And shows nothing without it; of our secrets it holds none, nor has the API the upstream's key."""
    url = f"http://127.0.0.1:{ports['FLOWER_PORT']}/api/tasks"
    password = re.search(r"password (\S+)", up.said)
    assert password is not None
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, auth=("demo", password[1])).status_code == 200
    secrets = json.loads((up.folder / ".darkroom" / "secrets.json").read_text())
    environments = [environment_of(pid) for pid in children_of(up.process.pid)]
    flowers = [each for each in environments if "FLOWER_BASIC_AUTH" in each]
    assert flowers
    assert not any(secrets[name] in each for each in flowers for name in ("secret", "key"))
    assert not any("DARKROOM_UPSTREAM_KEY=sandbox" in each and secrets["key"] in each for each in environments)


def environment_of(pid: int) -> str:
    """As the kernel shows it; empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
