"""The developer's commands against our real processes: what they print, where, and their exit codes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Done
from tests.support.processes import KEY, Installation, until

ABSENT = "01M859N4P0ZK88SXJWVC1PBXXR"
SMALL = ("--model", "m", "--width", "64", "--height", "64")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file; commands of it have acme's key."""
    with Installation(tmp_path_factory.mktemp("installation")) as installation:
        installation.settings["DARKROOM_KEY"] = KEY
        yield installation


def lines(done: Done) -> list[dict[str, Any]]:
    """What `--json` printed: every line is one object."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_job_from_its_submit_to_its_image(here: Installation, tmp_path: Path) -> None:
    """submit --wait, get, list, watch, images: the story that README tells."""
    words = ("--prompt", "a quiet harbour", *SMALL, "--metadata", "order=7", "--wait", "30")
    done = here.run_as_process("submit", *words)
    assert done.returncode == 0, done.stderr
    job_id, status = done.stdout.split()[:2]
    assert status == "succeeded"
    shown = here.run("get", job_id)
    assert (shown.returncode, "a quiet harbour" in shown.stdout, "sha256" in shown.stdout) == (0, True, True)
    assert lines(here.run("get", job_id, "--json")) == [here.job(job_id)]
    watched = lines(here.run("watch", job_id, "--json"))
    assert [row["to"] for row in watched] == ["queued", "submitting", "processing", "storing", "succeeded"]
    listed = here.run("list", "--metadata", "order=7", "--json")
    assert [job["id"] for job in lines(listed)] == [job_id]
    saved = lines(here.run("images", job_id, "--out", str(tmp_path / "new"), "--json"))
    image = here.job(job_id)["images"][0]
    bytes_there = Path(saved[0]["path"]).read_bytes()
    assert hashlib.sha256(bytes_there).hexdigest() == saved[0]["sha256"] == image["sha256"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"{job_id}-0.png"]


def test_images_are_not_overwritten_unless_that_is_meant(here: Installation, tmp_path: Path) -> None:
    """The same bytes are left alone, others are kept until --force; nothing half written stays behind."""
    job = here.reaches(here.post("a gate")["id"], "succeeded")
    target = tmp_path / f"{job['id']}-0.png"
    target.write_bytes(b"mine")
    refused = here.run("images", job["id"], "--out", str(tmp_path))
    assert (refused.returncode, target.read_bytes()) == (2, b"mine")
    assert "--force" in refused.stderr
    assert here.run("images", job["id"], "--out", str(tmp_path), "--force").returncode == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() == job["images"][0]["sha256"]
    before = target.stat()
    again = lines(here.run("images", job["id"], "--out", str(tmp_path), "--json"))
    assert (again[0]["already_there"], target.stat().st_ino) == (True, before.st_ino)
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_a_batch_and_an_idempotency_key(here: Installation, tmp_path: Path) -> None:
    """Options go over the file; the same key is the same job; an array is a batch, and all of it is waited for."""
    body = {"model_id": "m", "prompt": "a well", "width": 64, "height": 64}
    (tmp_path / "one.json").write_text(json.dumps(body))
    words = ("submit", "-f", str(tmp_path / "one.json"), "--seed", "5", "--idempotency-key", "order-1", "--json")
    first, second = lines(here.run(*words))[0], lines(here.run(*words))[0]
    assert (first["id"], first["request"]["seed"]) == (second["id"], 5)
    (tmp_path / "two.json").write_text(json.dumps([body, body | {"prompt": "a pit [[fail=collapsed]]"}]))
    batch = here.run("submit", "-f", str(tmp_path / "two.json"), "--wait", "--json")
    assert [job["status"] for job in lines(batch)] == ["succeeded", "failed"]
    assert batch.returncode == 1
    mended = here.run("retry", lines(batch)[1]["id"])
    assert here.job(mended.stdout.strip())["retry_of"] == lines(batch)[1]["id"]


def test_on_a_terminal_the_answer_still_goes_to_the_pipe(here: Installation, tmp_path: Path) -> None:
    """Setup: stderr is a terminal, stdout a pipe. Proves: progress is drawn on the one, and only there."""
    job = here.post("a mole [[late=5]]")  # longer than an interpreter takes to start on a busy machine
    terminal, theirs = os.openpty()
    drawn = bytearray()
    reader = threading.Thread(target=lambda: drawn.extend(_until_closed(terminal)))
    reader.start()
    out = b""
    for words in (("watch", job["id"], "--json"), ("images", job["id"], "--out", str(tmp_path), "--json")):
        command = [sys.executable, "-m", "api.cli.main", *words]
        environment = os.environ | here.settings | {"TERM": "xterm"}
        out += subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=True).stdout
    os.close(theirs)
    reader.join(10)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("to", row.get("index")) for row in rows] == [
        *(row["to"] for row in here.job(job["id"])["timeline"]),
        0,
    ]
    assert b"processing" in drawn
    assert b'"to"' not in drawn


def _until_closed(terminal: int) -> bytes:
    seen = b""
    while True:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            os.close(terminal)
            return seen


def test_a_request_from_stdin(here: Installation) -> None:
    """As a script pipes it."""
    command = [sys.executable, "-m", "api.cli.main", "submit", "-f", "-", *SMALL]
    environment = os.environ | here.settings
    done = subprocess.run(command, input='{"prompt":"a mill"}', env=environment, capture_output=True, text=True)
    assert here.job(done.stdout.strip())["request"]["prompt"] == "a mill"


def test_a_wait_that_is_over_is_told_by_the_exit_code_and_cancel_is_honest(here: Installation) -> None:
    """6 at the time that was given, not at the next sign of life; the job goes on until it is cancelled."""
    job_id = here.run("submit", "--prompt", "a fog [[late=90]]", *SMALL).stdout.strip()
    here.reaches(job_id, "processing")
    began = time.monotonic()
    watched = here.run("watch", job_id, "--timeout", "6")
    assert watched.returncode == 6
    assert 6 <= time.monotonic() - began < 9
    assert here.run("images", job_id).returncode == 6
    cancelled = here.run("cancel", job_id)
    assert (cancelled.returncode, "charged" in cancelled.stdout) == (0, True)
    again = here.run("cancel", job_id)
    assert (again.returncode, "(conflict)" in again.stderr) == (2, True)
    assert here.run("watch", job_id).returncode == 1


def test_every_refusal_has_its_exit_code_and_words(here: Installation) -> None:
    """Fields are named; with --json the problem itself is on stdout."""
    bad = here.run("submit", "--prompt", "x", "--width", "9999", "--json", "--model", "m")
    assert (bad.returncode, lines(bad)[0]["errors"][0]["field"]) == (2, "width")
    assert "width" in bad.stderr
    assert here.run("submit").returncode == 2
    assert here.run("get", ABSENT).returncode == 5
    assert here.run("watch", ABSENT).returncode == 5
    assert here.run("get", "../../healthz").returncode == 5
    assert here.run("get", ABSENT, "--key", "wrong-key-0123").returncode == 4
    assert here.run("list", "--url", "http://127.0.0.1:1").returncode == 3
    assert here.run("list", "--url", "ftp://nowhere").returncode == 2
    assert here.run("list", "--limit", "0").returncode == 2
    assert "exit codes:" in here.run("submit", "--help").stdout


def test_a_watch_goes_on_over_a_restart_of_the_api_and_shows_each_transition_once(here: Installation) -> None:
    """By Last-Event-ID."""
    job = here.post("a tide [[late=3]]")
    here.reaches(job["id"], "processing")
    command = [sys.executable, "-m", "api.cli.main", "watch", job["id"], "--json"]
    with subprocess.Popen(command, env=os.environ | here.settings, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        first = [json.loads(watching.stdout.readline())["to"] for _ in range(3)]
        here.kill("api")
        here.start("api")
        rest = [json.loads(line)["to"] for line in watching.stdout.read().splitlines()]
    assert first + rest == ["queued", "submitting", "processing", "storing", "succeeded"]
    assert watching.returncode == 0


def test_ctrl_c_is_130_and_the_job_goes_on(here: Installation) -> None:
    """Only the watching ends."""
    until(here.ready)
    job = here.post("a cloud [[late=2]]")
    command = [sys.executable, "-m", "api.cli.main", "watch", job["id"]]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=os.environ | here.settings, stdout=pipe, stderr=pipe, text=True) as watching:
        assert watching.stdout
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=10)
    assert (watching.returncode, said) == (130, "")
    here.reaches(job["id"], "succeeded")


def test_every_page_is_listed_and_a_closed_pipe_is_no_error(here: Installation) -> None:
    """--all follows the cursors; `| head` ends it quietly."""
    ids = {here.post("a step", metadata={"page": "yes"})["id"] for _ in range(5)}
    listed = lines(here.run("list", "--metadata", "page=yes", "--limit", "2", "--all", "--json"))
    assert {job["id"] for job in listed} == ids
    page = here.run("list", "--limit", "2")
    assert (len(page.stdout.splitlines()), "--cursor" in page.stderr) == (3, True)
    command = f"{sys.executable} -m api.cli.main list --all --limit 1 | head -1"
    piped = subprocess.run(command, shell=True, env=os.environ | here.settings, capture_output=True, text=True)
    assert (piped.stderr, len(piped.stdout.splitlines())) == ("", 1)


def test_a_key_is_made_shown_once_listed_and_revoked(here: Installation) -> None:
    """It works at once, for what its scopes say, and stops."""
    made = here.run("keys", "make", "acme", "--scopes", "read", "--name", "dashboard", "--expires", "90d")
    key = made.stdout.strip()
    assert here.run("list", "--limit", "1", "--key", key).returncode == 0
    denied = here.run("submit", "--prompt", "x", "--key", key)
    assert (denied.returncode, "`submit`" in denied.stderr) == (4, True)
    table = here.run("keys", "list").stdout
    assert ("dashboard" in table, key in table) == (True, False)
    rows = lines(here.run("keys", "list", "acme", "--json"))
    assert [(row["name"], row["scopes"]) for row in rows] == [("dashboard", ["read"])]
    assert here.run("keys", "list", "other", "--json").stdout == ""
    assert here.run("keys", "revoke", rows[0]["id"]).returncode == 0
    assert here.run("keys", "revoke", rows[0]["id"]).returncode == 1
    until(lambda: here.run("list", "--key", key).returncode == 4, 6)
    for wrong in (["make", "No Tenant"], ["make", "acme", "--scopes", "all"], ["make", "acme", "--expires", "soon"]):
        assert here.run("keys", *wrong).returncode == 2


def test_the_secret_that_signs_webhooks_is_shown_and_stays(here: Installation) -> None:
    """Made at first need, or as configured, the newest first; the older name of the verb shows the same."""
    first = here.run("keys", "webhook-secret").stdout.strip()
    assert first.startswith("whsec_")
    assert here.run("webhooks", "secret").stdout.strip() == first
    here.settings["DARKROOM_WEBHOOK_SECRET"] = "whsec_b2xk,whsec_bmV3"
    try:
        shown = here.run("webhooks", "secret").stdout.split()
        older = here.run("keys", "webhook-secret")
        as_json = lines(here.run("keys", "webhook-secret", "--json"))
    finally:
        del here.settings["DARKROOM_WEBHOOK_SECRET"]
    assert shown == older.stdout.split() == ["whsec_bmV3", "whsec_b2xk"]
    assert as_json == [{"webhook_secret": secret} for secret in shown]
    assert "darkroom webhooks secret" in older.stderr


def test_keys_say_when_redis_is_away(here: Installation) -> None:
    """3, with the setting's name."""
    kept = here.settings["DARKROOM_REDIS_URL"]
    here.settings["DARKROOM_REDIS_URL"] = "redis://127.0.0.1:1/0"
    try:
        away = here.run("keys", "list")
    finally:
        here.settings["DARKROOM_REDIS_URL"] = kept
    assert (away.returncode, "DARKROOM_REDIS_URL" in away.stderr) == (3, True)
