"""The operator's hand on the queue, by the commands themselves, against real processes."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.commands import Done
from tests.support.processes import Installation, until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file, with a key that takes one job at a time."""
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, upstream_max_in_flight="1", sandbox_seconds="0.2") as installation:
        yield installation


def run(here: Installation, *words: str, code: int = 0) -> str:
    """What the command prints; fails if it ends otherwise."""
    done: Done = here.run(*words)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def flow(here: Installation) -> dict[str, object]:
    shown: dict[str, object] = json.loads(run(here, "flow", "--json"))
    return shown


def test_everything_can_be_paused_and_resumed(here: Installation) -> None:
    """Jobs are accepted, wait, say why, and go on at once."""
    assert run(here, "pause", "--reason", "maintenance") == "paused: everything\n"
    job = here.post("a pause")
    assert "everything is held back: maintenance" in run(here, "explain", job["id"])
    assert "darkroom_paused 1.0" in here.client.get("/metrics").text
    assert "everything is paused" in run(here, "flow")
    assert here.job(job["id"])["status"] == "queued"
    run(here, "resume")
    here.reaches(job["id"], "succeeded")


def test_a_tenant_can_be_paused_while_others_go_on(here: Installation) -> None:
    """And is told so."""
    run(here, "pause", "--tenant", "acme", "--reason", "unpaid")
    held = here.post("a tenant")
    other = httpx.post(
        f"http://127.0.0.1:{here.api_port}/v1/jobs",
        json={"model_id": "m", "prompt": "another tenant", "width": 64, "height": 64},
        headers={"authorization": f"Bearer other-{here.client.headers['authorization'].split()[1]}"},
    ).json()
    until(lambda: run(here, "explain", other["id"]).startswith("succeeded"), what="the other tenant's end")
    assert here.job(held["id"])["explain"] == "1st of 1 of tenant acme; its tenant is paused: unpaid."
    run(here, "resume", "--tenant", "acme")
    here.reaches(held["id"], "succeeded")


def test_a_key_can_be_drained_and_its_limit_changed(here: Installation) -> None:
    """By its name, which `flow` shows; a wrong one is said with those that there are."""
    (key,) = flow(here)["keys"]  # type: ignore[misc]
    name = key["name"]
    assert name in run(here, "pause", "--key", "nobody", code=1)
    run(here, "pause", "--account", name, "--reason", "contract ended")
    job = here.post("a drain")
    assert f"key {name} is drained" in here.job(job["id"])["explain"]
    run(here, "resume", "--key", name)
    here.reaches(job["id"], "succeeded")
    run(here, "limit", "--account", name, "7")
    assert flow(here)["keys"][0]["limit"] == 7  # type: ignore[index]
    run(here, "limit", "--key", name, "auto")
    until(lambda: flow(here)["keys"][0]["limit"] == 1, what="the configured limit")  # type: ignore[index]
    run(here, "limit", "--key", name, "0", code=2)


def test_a_tenants_limits_can_be_changed_and_given_back(here: Installation) -> None:
    """They hold for the next request."""
    run(here, "limit", "--tenant", "acme", "images_day=1", "weight=2.5")
    refused = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "over", "samples": 2})
    assert refused.json()["code"] == "budget_exceeded"
    assert here.client.get("/v1/usage").json()["weight"] == 2.5
    run(here, "limit", "--tenant", "acme", "images_day=default", "weight=default")
    assert here.client.get("/v1/usage").json()["day"]["images"]["limit"] is None
    assert "images_day" in run(here, "limit", "--tenant", "acme", "images_year=1", code=2)


def test_many_jobs_are_counted_first_and_then_cancelled_and_purged(here: Installation) -> None:
    """By filter; a dry count changes nothing; images go with their jobs."""
    run(here, "pause")
    marked = [here.post("in bulk", metadata={"batch": "b1"})["id"] for _ in range(3)]
    kept = here.post("not in bulk")["id"]
    words = ("bulk", "cancel", "--tenant", "acme", "--metadata", "batch=b1")
    assert run(here, *words) == "3 jobs match; to cancel them add --yes\n"
    assert {here.job(each)["status"] for each in marked} == {"queued"}
    assert run(here, *words, "--yes") == "3 jobs cancelled\n"
    run(here, *words, "--yes", code=1)
    assert {here.job(each)["status"] for each in marked} == {"cancelled"}
    run(here, "bulk", "purge", "--tenant", "acme", "--status", "queued", "--yes", code=2)
    run(here, "resume")
    here.reaches(kept, "succeeded")
    purged = run(here, "bulk", "purge", "--tenant", "acme", "--yes")
    assert int(purged.split()[0]) >= 4
    assert here.client.get(f"/v1/jobs/{kept}").status_code == 404
    assert not list((here.folder / "images").rglob("*.png")) or here.client.get("/v1/jobs").json()["jobs"] == []


def test_usage_is_shown_by_tenant(here: Installation) -> None:
    """For people, and for programs."""
    rows = [json.loads(line) for line in run(here, "usage", "--json").splitlines()]
    acme = next(row for row in rows if row["name"] == "acme")
    assert acme["day"]["spent"] >= 3
    assert acme["day"]["open"] == 0
    assert "images bought" in run(here, "usage", "acme")
