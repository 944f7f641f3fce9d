"""The lines that a real process writes, through structlog and through the standard library."""

import json
import subprocess
import sys
from typing import Any

SAID = """
import logging, sys, threading
import structlog
from config.logs import configure_logs
from config.settings import Settings
configure_logs(Settings(_env_file=None, secret="canary-secret", log_format=sys.argv[1]), "api")
log = structlog.get_logger()
with structlog.contextvars.bound_contextvars(job_id="01ABC"):
    log.info("job.submitted", attempt=1)
def fail(name):
    try:
        raise ValueError("canary-secret")
    except ValueError:
        log.exception(name)
        logging.getLogger("stranger").exception("%s canary-secret", name)
thread = threading.Thread(target=fail, args=("went.wrong",))
thread.start(); thread.join()
logging.getLogger("httpx").info("GET https://cdn.example/a.png")
logging.getLogger("httpx").warning("odd")
"""


def written(log_format: str) -> str:
    """All that the process wrote."""
    command = [sys.executable, "-c", SAID, log_format]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout == ""
    return process.stderr


def lines() -> list[dict[str, Any]]:
    """The lines as a collector reads them."""
    return [json.loads(line) for line in written("json").splitlines()]


def test_a_line_names_its_process_level_time_and_job() -> None:
    """What is bound in the context comes along."""
    line = lines()[0]
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "job.submitted", "attempt": 1, "job_id": "01ABC", "level": "info", "process": "api"}


def test_an_error_is_one_line_with_its_trace_and_without_the_secret_in_it() -> None:
    """On another thread and from a library as well."""
    ours, theirs = lines()[1:3]
    assert (ours["event"], theirs["event"]) == ("went.wrong", "went.wrong ***")
    assert ours["process"] == theirs["process"] == "api"
    assert "ValueError: ***" in ours["exception"]
    assert "ValueError: ***" in theirs["exception"]


def test_the_chatter_of_libraries_is_left_out_but_not_their_warnings() -> None:
    """httpx would log every address, with whatever is in it."""
    assert [line["event"] for line in lines()[3:]] == ["odd"]


def test_people_get_lines_for_people() -> None:
    """The console form, with the same secrets taken out."""
    shown = written("console")
    assert "job.submitted" in shown
    assert "canary-secret" not in shown
