"""An Idempotency-Key over real sockets: the same request is the same job, by either way in."""

from hashlib import sha256

import httpx
import orjson
from redis import Redis

from tests.support.api_server import problem

BODY = {"model_id": "m", "prompt": "a cat"}


def test_an_idempotency_key_answers_the_same_job_and_refuses_another_body(client: httpx.Client) -> None:
    """Also in a batch, where the key stands for all of it."""
    headers = {"idempotency-key": "k1"}
    first = client.post("/v1/jobs", json=BODY, headers=headers).json()
    assert client.post("/v1/jobs", json=BODY, headers=headers).json()["id"] == first["id"]
    problem(client.post("/v1/jobs", json=BODY | {"seed": 1}, headers=headers), 422, "idempotency_mismatch")
    batch = client.post("/v1/jobs/batch", json=[BODY, BODY], headers=headers).json()["jobs"]
    again = client.post("/v1/jobs/batch", json=[BODY, BODY], headers=headers).json()["jobs"]
    assert [job["id"] for job in batch] == [job["id"] for job in again]


def test_the_same_json_value_is_the_same_request_under_one_key(client: httpx.Client) -> None:
    """In another order, with other white space and escapes, `512.0` for `512`; one value changed is another request."""
    headers = {"idempotency-key": "k2", "content-type": "application/json"}
    body = {"model_id": "m", "prompt": "é", "width": 512, "metadata": {"a": 1, "b": "2"}}
    first = client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    other = '{ "metadata":{"b":"2","a":1.0}, "width" : 512.0,\n"prompt":"\\u00e9", "model_id":"m"}'
    assert client.post("/v1/jobs", content=other, headers=headers).json()["id"] == first
    assert client.post("/v1/jobs", json=dict(reversed(body.items())), headers=headers).json()["id"] == first
    changed = body | {"metadata": {"a": 1, "b": 2}}  # a number is no text
    problem(client.post("/v1/jobs", json=changed, headers=headers), 422, "idempotency_mismatch")
    doubled = '{"model_id":"x","model_id":"m","prompt":"é","width":512,"metadata":{"a":1,"b":"2"}}'
    problem(client.post("/v1/jobs", content=doubled, headers=headers), 400, "invalid_json")


def test_a_key_that_an_older_version_kept_answers_the_same_job(client: httpx.Client, redis: Redis) -> None:
    """Its fingerprint was of the bytes: a repetition over the upgrade is no other request."""
    headers = {"idempotency-key": "k3", "content-type": "application/json"}
    content = orjson.dumps(BODY)
    job = client.post("/v1/jobs", content=content, headers=headers).json()["id"]
    [row] = redis.keys("idempotency:acme:*")
    redis.set(row, f"{sha256(content).hexdigest()} {job}", keepttl=True)
    assert client.post("/v1/jobs", content=content, headers=headers).json()["id"] == job
    problem(client.post("/v1/jobs", json=BODY | {"seed": 1}, headers=headers), 422, "idempotency_mismatch")


def test_one_key_of_two_tenants_is_two_keys(client: httpx.Client) -> None:
    """What a caller chooses as its key says nothing about, and finds nothing of, another's."""
    keyed, other = {"idempotency-key": "1"}, {"authorization": "Bearer other-key-0123"}
    own = client.post("/v1/jobs", json=BODY, headers=keyed).json()
    theirs = client.post("/v1/jobs", json=BODY | {"prompt": "a dog"}, headers=keyed | other)
    assert theirs.status_code == 202
    assert theirs.json()["id"] != own["id"]
    problem(client.get(f"/v1/jobs/{own['id']}", headers=other), 404, "not_found")


def test_a_retrys_key_answers_its_job_whatever_becomes_of_the_origin(client: httpx.Client) -> None:
    """The key is looked at before the origin: a lost answer can be asked for again after it is deleted."""
    job = client.post("/v1/jobs", json=BODY).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    keyed = {"idempotency-key": "again"}
    first = client.post(f"/v1/jobs/{job['id']}/retry", headers=keyed)
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    again = client.post(f"/v1/jobs/{job['id']}/retry", headers=keyed)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["location"] == first.headers["location"]
    problem(client.post(f"/v1/jobs/{job['id']}/retry", headers={"idempotency-key": "new"}), 404, "not_found")
