"""Many workers on one Redis: what a scaler counts is all there is, and the upstream's limit holds over all of them."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api.cli.stack.alive import ROLES
from config.settings import Settings
from tests.support.processes import Installation, until

ROOT = Path(__file__).parents[2]
LIMIT, JOBS, CONCURRENCY = 3, 60, 2
QUERIED = re.compile(r'(darkroom_\w+)\{(\w+)=~?"([^"]+)"\}')


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One worker of two places, and an upstream that would hold anything."""
    folder: Path = tmp_path_factory.mktemp("installation")
    with Installation(folder, worker_concurrency=str(CONCURRENCY), upstream_max_in_flight="1000") as installation:
        yield installation


def bill(here: Installation) -> dict[str, Any]:
    """What the sandbox says that it was sent."""
    found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()
    return found


def lines_of(here: Installation, start: str) -> list[str]:
    """The lines of /metrics that start so."""
    return [line for line in here.client.get("/metrics").text.splitlines() if line.startswith(start)]


def metric(here: Installation, start: str) -> float:
    """The value of the one line of /metrics that starts so."""
    (line,) = lines_of(here, start)
    return float(line.split()[-1])


def post(here: Installation, prompt: str, count: int) -> list[str]:
    """A batch of the same job; the ids."""
    body = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64}
    answer = here.client.post("/v1/jobs/batch", json=[body] * count)
    assert answer.status_code == 202, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_a_busy_worker_hides_no_message_from_the_scaler(here: Installation) -> None:
    """Two of ten are in its hands; the queue's length says eight, and not six, four or nought."""
    ids = post(here, "a mill [[answer-delay=3]]", 10)
    until(lambda: bill(here)["taken"] == CONCURRENCY, what="two POSTs under way")
    assert metric(here, 'darkroom_queue_messages{name="submit"}') == 10 - CONCURRENCY
    assert metric(here, 'darkroom_jobs{status="submitting"}') == CONCURRENCY
    for job_id in ids:
        here.client.post(f"/v1/jobs/{job_id}/cancel")
    until(lambda: metric(here, 'darkroom_jobs{status="submitting"}') == 0, what="an idle worker")


def test_a_worker_that_was_full_takes_its_next_message_at_once(here: Installation) -> None:
    """Ten POSTs of 0.3 s, two at a time: 1.2 s from the first to the last. Celery's loop by itself sleeps two seconds
    after each pair."""
    httpx.post(f"http://127.0.0.1:{here.sandbox_port}/sandbox/reset")
    for job_id in post(here, "a wheel [[answer-delay=0.3]] [[delay=0.3]]", 10):
        here.reaches(job_id, "succeeded")
    times = [datetime.fromisoformat(row["at"]) for row in bill(here)["posts"]]
    assert len(times) == 10
    assert (max(times) - min(times)).total_seconds() < 5


def test_a_limit_holds_over_all_workers(here: Installation) -> None:
    """Three workers with six places between them: the sandbox never holds more than three, and refuses nobody."""
    until(lambda: bill(here)["in_flight"] == 0, what="an idle upstream")
    key = lines_of(here, "darkroom_upstream_limit{")[0].split('"')[1]
    assert here.run("limit", "--key", key, str(LIMIT)).returncode == 0
    httpx.post(f"http://127.0.0.1:{here.sandbox_port}/sandbox/reset")
    for number in (1, 2):
        here.start("worker", name=f"worker-{number}")
    until(lambda: (ready := here.ready()) and ready["workers"] >= 3 * ROLES, what="three workers")
    ids = post(here, "a loom [[delay=0.1]]", JOBS)
    for job_id in ids:
        here.reaches(job_id, "succeeded")
    seen = bill(here)
    assert (seen["taken"], seen["max_in_flight"], seen["refused_429"]) == (JOBS, LIMIT, 0)
    assert all(here.log(name).count("job.submitting") for name in ("worker", "worker-1", "worker-2")), (
        "one of them was idle"
    )


def test_what_the_scaler_asks_for_is_what_the_metrics_say(here: Installation) -> None:
    """Every metric and label value in the ScaledObject's queries is a line of /metrics, and its limits agree."""
    deployment, scaled = yaml.safe_load_all((ROOT / "deploy" / "keda-worker.yaml").read_text())
    asked = [
        (name, value)
        for trigger in scaled["spec"]["triggers"]
        for name, label, values in QUERIED.findall(trigger["metadata"]["query"])
        for value in (f'{{{label}="{each}"}}' for each in values.split("|"))
    ]
    assert len(asked) == 6
    for name, value in asked:
        assert lines_of(here, f"{name}{value}"), f"/metrics has no {name}{value}"
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    container = deployment["spec"]["template"]["spec"]
    assert container["terminationGracePeriodSeconds"] > Settings.model_fields["upstream_timeout_seconds"].default
    concurrency = [int(each["value"]) for each in container["containers"][0]["env"][:4]]
    thresholds = [int(trigger["metadata"]["threshold"]) for trigger in scaled["spec"]["triggers"]]
    assert thresholds == [each * 8 // 10 for each in concurrency]


def test_every_metric_in_the_page_on_scaling_is_one_of_ours(here: Installation) -> None:
    """The page names no number that nobody can see; one needs the token of the metrics, which this API has not."""
    named = set(re.findall(r"darkroom_[a-z_]+", (ROOT / "docs" / "scaling.md").read_text()))
    named.remove("darkroom_tenant_waiting_jobs")
    assert "darkroom_queue_messages" in named
    assert [name for name in named if not lines_of(here, f"# TYPE {name} ")] == []
