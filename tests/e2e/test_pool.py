"""Several upstream keys, with real processes: one dies, one is added, one is taken out, and the work goes on."""

import json
from collections import Counter
from pathlib import Path

import httpx

from api.cli.stack.redis_server import free_port
from tests.support.processes import Installation, until


def test_a_server_that_dies_delays_only_what_it_had(tmp_path: Path) -> None:
    """Two servers share the work; one is killed; every job that it had not taken is done by the other."""
    second = free_port()
    with Installation(tmp_path, sandbox_seconds="0.5", upstream_max_in_flight="4") as here:
        here.start("worker.upstream", name="second", sandbox_port=str(second))
        until(lambda: _bill(second) is not None, what="the second server")
        here.stop("worker")
        urls = [f"http://127.0.0.1:{port}/api/v1/enterprise|sandbox" for port in (here.sandbox_port, second)]
        here.start("worker", upstream_key=",".join(urls))
        ids = [here.post(f"pool {number}")["id"] for number in range(24)]
        until(lambda: _bill(second), what="work for the second server")
        here.kill("second")
        had = {row["track_id"][:26] for row in _bill(here.sandbox_port) or []}
        until(lambda: _open(here) <= 4, what="every end that is not the dead server's")
        jobs = [here.job(each) for each in ids]
    left = [job for job in jobs if job["status"] != "succeeded"]
    assert all(job["attempts"] for job in left), "a job that was never sent is still waiting"
    assert {job["status"] for job in left} <= {"processing", "unknown"}, "only what it had taken, or may have"
    assert len(left) <= 4, "more than its places"
    assert had, "the first server had no share"


def test_a_key_is_added_and_taken_out_while_everything_runs(tmp_path: Path) -> None:
    """By its file; a refused key costs nothing but its refusal."""
    keys = tmp_path / "keys"
    keys.write_text("wrong-key\n")
    with Installation(tmp_path, upstream_key=f"@{keys}", sandbox_key="sandbox,second") as here:
        job = here.post("no key that works")
        until(lambda: (attempts := here.job(job["id"])["attempts"]) and attempts[-1]["outcome"], what="a refusal")
        keys.write_text("wrong-key\nsandbox\nsecond\n")
        here.reaches(job["id"], "succeeded")
        assert len(_keys(here)) == 3
        done = [here.reaches(here.post(f"on two keys {number}")["id"], "succeeded") for number in range(6)]
        assert len({each["attempts"][-1]["upstream"] for each in done}) >= 1
        keys.write_text("second\n")
        until(lambda: "in no worker" in here.run("flow").stdout, 45, "the key that went")
        last = here.reaches(here.post("on the one that stayed")["id"], "succeeded")
        assert Counter(each["status"] for each in last["attempts"]) == {"succeeded": 1}


def test_no_key_buys_in_anothers_place_while_keys_change(tmp_path: Path) -> None:
    """A rolling change: the worker that had the second key has just gone. Its place is used by nobody else's key."""
    with Installation(tmp_path, upstream_max_in_flight="1", sandbox_key="sandbox,second", sandbox_seconds="1") as here:
        here.start("worker", name="worker-2", upstream_key="second")
        until(lambda: len(_keys(here)) == 2, what="both keys")
        here.stop("worker-2")
        jobs = [here.post(f"rolling {number}", deadline_seconds=120)["id"] for number in range(5)]
        ends = [here.reaches(each, "succeeded", "expired", seconds=90)["status"] for each in jobs]
        keys = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()["by_key"]
        assert "key_unknown" in here.log("worker"), "no job had a place of the key that went"
    assert ends == ["succeeded"] * 5
    assert [held["max_in_flight"] for held in keys.values()] == [1], "a key held more than its one place"


def _bill(port: int) -> list[dict[str, str]] | None:
    try:
        rows: list[dict[str, str]] = httpx.get(f"http://127.0.0.1:{port}/bill", timeout=5).json()["posts"]
    except httpx.HTTPError:
        return None
    return rows


def _open(here: Installation) -> int:
    lines = here.client.get("/metrics").text.splitlines()
    counts = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines if line.startswith("darkroom_jobs{")}
    return sum(counts[status] for status in ("queued", "submitting", "unknown", "processing", "storing"))


def _keys(here: Installation) -> list[object]:
    shown: list[object] = json.loads(here.run("flow", "--json").stdout)["keys"]
    return shown
