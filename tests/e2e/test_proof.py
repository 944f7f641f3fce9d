"""What counts as proof, with real processes: what may be bought again, and whose image an answer is.

Setup: our real processes and the sandbox, whose prompt asks for what stands between it and us. Proves by its bill: HTML
is no refusal, no other server and no ambiguous id is asked, the upstream's success beats our inference, and a job that
the upstream has is asked for before its deadline ends it.
"""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.processes import Installation, until
from worker.signing import callback_token
from worker.upstream.modelslab.sandbox.painter import paint

GATEWAYS = (302, 303, 400, 403, 404, 429, 502)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the whole file."""
    settings = {"unknown_wait_seconds": "20", "lease_seconds": "3", "upstream_max_in_flight": "50"}
    with Installation(tmp_path_factory.mktemp("proof"), **settings) as installation:
        yield installation


SLOW = {
    "silent 1": ("[[same-id=silent]] [[no-callback]] [[delay=30]]", {"seed": 3, "deadline_seconds": 15}),
    "silent 2": ("[[same-id=silent]] [[no-callback]] [[delay=30]]", {"seed": 4, "deadline_seconds": 15}),
    "foreign id": ("[[foreign-id=fetch]] [[no-callback]]", {"deadline_seconds": 6}),
    "foreign track": ("[[foreign-track=fetch]] [[no-callback]]", {"deadline_seconds": 6}),
    "eta": ("[[eta=7200]] [[no-callback]]", {"deadline_seconds": 12}),
    "last moment": ("[[no-callback]] [[late=6.5]]", {"deadline_seconds": 8}),
    "late": ("[[late=4]] [[image-404=1]] [[image=2]]", {"samples": 4, "deadline_seconds": 3}),
}
"""Jobs that wait for time to pass: posted together, so that they wait together."""


@pytest.fixture(scope="module")
def slow(here: Installation) -> dict[str, str]:
    """Their ids."""
    here.reaches(here.post("somebody else's")["id"], "succeeded")
    return {name: here.post(f"{name} {faults}", **more)["id"] for name, (faults, more) in SLOW.items()}


def taken(here: Installation, job_id: str) -> int:
    return sum(row["taken"] for row in here.bill(job_id))


def test_a_gateways_page_instead_of_the_answer_buys_nothing_again(here: Installation) -> None:
    """Taken and billed, then HTML: the job waits for its callback, which brings the image."""
    jobs = {code: here.post(f"behind a gateway [[gateway={code}]] [[delay=3]]")["id"] for code in GATEWAYS}
    for code, job_id in jobs.items():
        job = here.reaches(job_id, "succeeded")
        assert (len(here.bill(job_id)), taken(here, job_id)) == (1, 1), f"bought again after HTTP {code}"
        assert [each["outcome"] for each in job["attempts"]] == [f"http_{code}"]
        assert "unknown" in [row["to"] for row in job["timeline"]]


def test_a_refusal_that_the_upstream_itself_contradicts_is_no_loss(here: Installation) -> None:
    """A JSON 400 ended the job; the success callback follows, and its image is kept."""
    job_id = here.post("refused and made [[http=400]] [[taken]] [[delay=2]]")["id"]
    assert here.reaches(job_id, "failed")["error"]["code"] == "upstream_rejected"
    job = here.reaches(job_id, "succeeded")
    assert (job["late"], job["charged"], len(job["images"]), taken(here, job_id)) == (True, True, 1, 1)


def test_an_id_that_is_given_to_two_requests_is_nobodys(here: Installation, slow: dict[str, str]) -> None:
    """By callback each gets its own image; where no callback comes, nobody asks by that id."""
    called_back = [here.post(f"called back {n} [[same-id=both]]", seed=n)["id"] for n in (1, 2)]
    assert len({here.reaches(each, "succeeded")["images"][0]["sha256"] for each in called_back}) == 2
    ends = [here.reaches(slow[f"silent {n}"], "expired", "succeeded", seconds=40)["status"] for n in (1, 2)]
    assert ends == ["expired", "expired"]
    assert "upstream.shared_id" in here.log("worker")


@pytest.mark.parametrize("name", ["foreign id", "foreign track"])
def test_a_fetch_that_answers_about_another_request_is_not_believed(
    here: Installation, slow: dict[str, str], name: str
) -> None:
    """It would be another's image: asked again until the deadline, then expired."""
    job = here.reaches(slow[name], "expired", "succeeded", seconds=20)
    assert (job["status"], job["images"], job["charged"]) == ("expired", [], True)


def test_an_eta_of_hours_and_a_lost_callback_cost_no_deadline(here: Installation, slow: dict[str, str]) -> None:
    """It is asked after half of what is left, whatever the upstream promised."""
    job = here.reaches(slow["eta"], "succeeded", "expired", seconds=20)
    assert (job["status"], job["late"], job["completed_via"]) == ("succeeded", False, "poll")


def test_a_job_that_the_upstream_has_is_asked_for_before_its_end(here: Installation, slow: dict[str, str]) -> None:
    """Its result is known a moment before the deadline, after the last poll and without a callback."""
    job = here.reaches(slow["last moment"], "succeeded", "expired", seconds=20)
    assert (job["status"], job["completed_via"]) == ("succeeded", "poll")
    assert "expired" not in [row["to"] for row in job["timeline"]]


def test_a_late_result_is_whole_although_its_images_come_late_as_well(here: Installation, slow: dict[str, str]) -> None:
    """Four images after the deadline, one of them 404 at the first reading: four are kept."""
    job = here.reaches(slow["late"], "succeeded", seconds=30)
    assert (job["late"], len(job["images"]), job["images_missing"]) == (True, 4, 0)
    assert "expired" in [row["to"] for row in job["timeline"]]


def test_images_in_the_callback_itself_are_kept(here: Installation) -> None:
    """No addresses and no id to ask by: the callback is all there is."""
    job_id = here.post("inline [[no-id]] [[no-callback]] [[delay=60]]")["id"]
    job = here.reaches(job_id, "unknown")
    token = callback_token(job["attempts"][0]["track_id"], (here.settings["DARKROOM_SECRET"].encode(),))
    image = b64encode(paint("inline", 1, 64, 64, "PNG")).decode()
    body = {"status": "success", "output": [f"data:image/png;base64,{image}"], "track_id": f"{job_id}-1"}
    assert here.client.post(f"/webhooks/modelslab/{token}", json=body).status_code == 200
    job = here.reaches(job_id, "succeeded", "failed")
    assert (job["status"], job["images"][0]["width"]) == ("succeeded", 64)


def test_the_edges_own_page_means_that_nothing_was_taken(here: Installation) -> None:
    """The CDN never reached the server, so the request is sent again, and only then billed."""
    job_id = here.post("behind an edge [[edge=521]]", deadline_seconds=30)["id"]
    until(lambda: len(here.bill(job_id)) >= 2, what="a second POST")
    job = here.job(job_id)
    assert taken(here, job_id) == 0
    assert {each["outcome"] for each in job["attempts"]} <= {"unreachable", None}
    here.client.post(f"/v1/jobs/{job_id}/cancel")


class EveryIdIsKnown(BaseHTTPRequestHandler):
    """Another server, where every request id is somebody's finished image."""

    asked: list[str] = []

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/fetch"):
            self.asked.append(self.path)
        body = {"status": "success", "id": content.get("request_id"), "output": ["http://127.0.0.1:9/foreign.png"]}
        answer = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_replaced_server_is_not_asked_for_what_the_old_one_has(tmp_path: Path) -> None:
    """The pair url|key is replaced and the workers start again: the id means another image there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), EveryIdIsKnown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Installation(tmp_path) as here:
        job_id = here.post("on the old server [[no-callback]] [[delay=60]]", deadline_seconds=12)["id"]
        here.reaches(job_id, "processing")
        here.stop("worker")
        here.settings["DARKROOM_UPSTREAM_KEY"] = f"http://127.0.0.1:{server.server_port}|another-key"
        here.start("worker")
        until(lambda: "upstream.key_unknown" in here.log("worker"), what="a question that nobody could be asked")
        found = here.run("doctor").stdout
        job = here.reaches(job_id, "expired", "succeeded", seconds=40)
        assert (job["status"], job["images"]) == ("expired", [])
        assert EveryIdIsKnown.asked == []
    server.shutdown()
    server.server_close()
    assert "is not in DARKROOM_UPSTREAM_KEY" in found
