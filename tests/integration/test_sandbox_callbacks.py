"""The sandbox's callbacks, over real sockets: what is told, when, how often, and by whom."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.support.processes import until
from tests.support.sandbox import CalledBack, called_back, running_sandbox
from tests.support.sandbox_calls import HTTP, fetch, finished, submit


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One sandbox for the whole module, with two keys."""
    with running_sandbox(sandbox_key="sandbox, other") as url:
        yield url


@pytest.fixture
def receiver() -> Iterator[CalledBack]:
    """Where callbacks go."""
    with called_back() as receiver:
        yield receiver


def test_a_callback_echoes_track_id_and_output(url: str, receiver: CalledBack) -> None:
    """The same id and addresses as the answer to the POST."""
    answer = submit(url, track_id="t-1", webhook=receiver.url).json()
    body = receiver.next()
    assert (body["track_id"], body["id"], body["output"]) == ("t-1", answer["id"], answer["future_links"])


def test_a_failed_job_is_told_with_its_text(url: str, receiver: CalledBack) -> None:
    """By callback and by fetch; there is no image."""
    answer = submit(url, "[[fail=out of paint]]", webhook=receiver.url).json()
    assert (receiver.next()["message"], fetch(url, answer["id"])["message"]) == ("out of paint", "out of paint")
    assert HTTP.get(answer["future_links"][0]).status_code == 404


def test_a_callback_may_come_before_the_answer(url: str, receiver: CalledBack) -> None:
    """It is delivered before the POST returns."""
    submit(url, "[[callback-first]]", webhook=receiver.url)
    assert receiver.waiting == 1


def test_a_callback_may_come_several_times(url: str, receiver: CalledBack) -> None:
    """The same body each time."""
    submit(url, "[[callback=3]]", webhook=receiver.url)
    first, *others = (receiver.next() for _ in range(3))
    assert others == [first, first]


def test_no_callback_may_come(url: str, receiver: CalledBack) -> None:
    """Fetch still knows; a later job's callback is the first to arrive."""
    finished(url, submit(url, "[[no-callback]]", track_id="silent", webhook=receiver.url))
    submit(url, track_id="loud", webhook=receiver.url)
    assert receiver.next()["track_id"] == "loud"


def test_a_result_may_be_told_late(url: str, receiver: CalledBack) -> None:
    """The image is there, fetch says processing, the callback is still to come."""
    answer = submit(url, "[[late=0.5]]", webhook=receiver.url).json()
    until(lambda: HTTP.get(answer["future_links"][0]).status_code == 200)
    assert (fetch(url, answer["id"])["status"], receiver.waiting) == ("processing", 0)
    assert receiver.next()["status"] == "success"
    assert fetch(url, answer["id"])["status"] == "success"


def test_forged_callbacks_come_before_the_true_one(url: str, receiver: CalledBack) -> None:
    """Wrong token, other track_id, other id; each with an attacker's address."""
    answer = submit(url, "[[forged]]", track_id="t-1", webhook=receiver.url).json()
    calls = [receiver.next_with_path() for _ in range(4)]
    token_path = httpx.URL(receiver.url).path
    assert [path == token_path for path, _ in calls] == [False, True, True, True]
    assert [body["track_id"] == "t-1" for _, body in calls] == [True, False, True, True]
    assert [body["id"] == answer["id"] for _, body in calls] == [True, True, False, True]
    assert ["attacker" in str(body["output"]) for _, body in calls] == [True, True, True, False]


@pytest.mark.parametrize(("fault", "told"), [("contradict", ["success", "failed"]), ("contradict=first", ["failed"])])
def test_callbacks_may_contradict_each_other(url: str, receiver: CalledBack, fault: str, told: list[str]) -> None:
    """`failed` after the success, or before it with another id."""
    answer = submit(url, f"[[{fault}]]", webhook=receiver.url).json()
    bodies = [receiver.next() for _ in range(2)]
    assert [body["status"] for body in bodies][: len(told)] == told
    assert (bodies[0]["id"] == answer["id"]) is (fault == "contradict")


def test_success_without_output_has_to_be_fetched(url: str, receiver: CalledBack) -> None:
    """The callback is empty, fetch is not."""
    answer = submit(url, "[[no-output]]", webhook=receiver.url).json()
    assert "output" not in receiver.next()
    assert fetch(url, answer["id"])["output"]


def test_a_dead_receiver_harms_nobody(url: str) -> None:
    """A lost callback is lost, as documented; the job is done all the same."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    assert finished(url, submit(url, webhook=dead))
