"""`python -m worker.upstream` as a process: loud at start, quick to stop, plain about a port that is taken."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from api.cli.stack.redis_server import free_port
from tests.support.processes import until

STOP_SECONDS = 6


@contextmanager
def sandbox_process(port: int) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"DARKROOM_SANDBOX_PORT": str(port), "DARKROOM_LOG_FORMAT": "json"}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.upstream"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/bill", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_sigterm_stops_it_while_a_job_is_in_work() -> None:
    """It says what it is at start, and leaves without a stack trace."""
    port = free_port()
    with sandbox_process(port) as process:
        until(lambda: answers(port), what="the sandbox")
        body = {"key": "sandbox", "model_id": "m", "prompt": "[[delay=600]]", "webhook": "http://127.0.0.1:9/"}
        httpx.post(f"http://127.0.0.1:{port}/api/v1/enterprise/text2img", json=body, trust_env=False)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "THIS IS A SANDBOX" in output
    assert "Traceback" not in output


def test_a_port_that_is_taken_is_one_sentence() -> None:
    """Which port, and the setting that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as taken, sandbox_process(taken.getsockname()[1]) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert output.strip().count("\n") == 0
    assert "DARKROOM_SANDBOX_PORT" in output
