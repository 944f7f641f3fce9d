"""The upstream's callbacks at the door, over real sockets: a token is the right to speak of one attempt."""

import httpx

from api.callback_rate import BURST
from config.settings import Settings
from tests.support.api_server import problem
from worker.signing import callback_token
from worker.store.inbox import BOUNDS

BODY = {"model_id": "m", "prompt": "a cat"}


def test_more_callbacks_than_are_kept_are_refused_so_that_they_come_again(
    client: httpx.Client, settings: Settings
) -> None:
    """Nobody reads the inbox: what is not kept is not said to be."""
    job = client.post("/v1/jobs", json=BODY).json()
    address = f"/webhooks/modelslab/{callback_token(job['id'] + '-1', settings.secrets)}"
    answers = [client.post(address, json={"status": "success", "id": n}) for n in range(BOUNDS.most_rows + 1)]
    assert {each.status_code for each in answers[:-1]} == {200}
    problem(answers[-1], 503, "unavailable")
    assert answers[-1].headers["retry-after"] == "5"


def test_a_callback_with_a_wrong_token_is_like_no_address(client: httpx.Client, settings: Settings) -> None:
    """Truncated, another attempt's, another tenant's, spelled in another way: the same answer; nothing is written."""
    job = client.post("/v1/jobs", json=BODY).json()
    another = client.post("/v1/jobs", json=BODY, headers={"authorization": "Bearer other-key-0123"}).json()
    token = callback_token(f"{job['id']}-1", settings.secrets)
    wrong = [token[:-1], token.replace("-1.", "-2."), "x", f"{job['id']}-1.", token.swapcase(), "a" * 5000]
    wrong += [token + end for end in ("=", "A", "%00", "%3D", "%C3%A9", "%F0%9F%98%80", ".", "%0d%0a")]
    wrong += [token.replace(job["id"], another["id"]), token.replace("-1.", "-01."), "%ff%fe", "%ED%A0%80.x"]
    answers = [client.post(f"/webhooks/modelslab/{each}", json={"status": "success"}) for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert len({tuple(answer.headers.keys()) for answer in answers}) == 1
    assert len(client.get(f"/v1/jobs/{job['id']}").json()["timeline"]) == 1


def test_a_callback_with_its_token_is_kept_and_answered_twice(client: httpx.Client, settings: Settings) -> None:
    """A duplicate answers 200; broken JSON is 400."""
    job = client.post("/v1/jobs", json=BODY).json()
    address = f"/webhooks/modelslab/{callback_token(job['id'] + '-1', settings.secrets)}"
    ended = {"status": "failed", "id": "7", "message": "no"}
    assert client.post(address, json=ended).json() == {"received": "kept"}
    assert client.post(address, json=ended).json() == {"received": "duplicate"}
    assert client.post(address, json={"status": "processing"}).json() == {"received": "noted"}
    problem(client.post(address, content=b"{"), 400, "invalid_json")
    problem(client.post(address, content=b"[" * 10_000), 400, "invalid_json")


def test_a_token_that_is_used_without_end_is_not_even_read(client: httpx.Client, settings: Settings) -> None:
    """Beyond a burst nothing of it reaches Redis; another job's callback is heard at once."""
    leaked, other = (client.post("/v1/jobs", json=BODY).json()["id"] for _ in range(2))
    addresses = [f"/webhooks/modelslab/{callback_token(f'{each}-1', settings.secrets)}" for each in (leaked, other)]
    answers = [client.post(addresses[0], json={"status": "processing", "n": n}) for n in range(BURST)]
    assert {each.json()["received"] for each in answers} == {"noted"}
    refused = client.post(addresses[0], content=b"no JSON")
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "5"
    assert client.post(addresses[1], json={"status": "failed", "id": 7}).json() == {"received": "kept"}
