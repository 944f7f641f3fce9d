"""Webhook deliveries at the door, over a real socket: shown, replayed, enabled; and nothing of another tenant's."""

# ruff: noqa: ASYNC212 - the door runs in a thread of its own, and its client waits for nothing else

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.schemas.delivery import DeliveryView, EndpointView
from config.settings import Settings
from tests.support.api_server import acmes_client, problem
from tests.support.deliveries import BROKEN, GONE, OK, URL, ended_job, tried
from worker.shown.delivery import delivery_view, endpoint_view
from worker.store.jobs import JobStore
from worker.telling.deliveries import DeliveryStore
from worker.telling.schedule import Next


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """The door."""
    with acmes_client(create_app(settings)) as client:
        yield client


async def test_the_door_shows_the_ledger_of_ones_own_tenant(
    client: httpx.Client, deliveries: DeliveryStore, store: JobStore
) -> None:
    """By job, by id, as a list with filters and pages; another tenant's is answered like one that does not exist."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    theirs = await ended_job(store, URL, "other")
    await tried(deliveries, ids[0], BROKEN, Next("pending", 5))
    job = ids[0].split("_")[1]
    [shown] = client.get(f"/v1/jobs/{job}/deliveries").json()["deliveries"]
    assert shown == client.get(f"/v1/deliveries/{ids[0]}").json()
    assert (shown["state"], shown["tries"], shown["job_id"]) == ("pending", 1, job)
    [row] = shown["attempts"]
    assert (row["status"], row["answer"], row["duration_seconds"], row["error"]) == (500, "oops", 0.1, None)
    assert row["at"] < row["next_try_at"]
    assert shown["next_try_at"]
    listed: list[str] = []
    cursor = ""
    while cursor is not None:
        page = client.get("/v1/deliveries", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        listed += [each["id"] for each in page["deliveries"]]
        cursor = page["next_cursor"]
    assert listed == ids[::-1]
    assert client.get("/v1/deliveries", params={"state": "exhausted"}).json()["deliveries"] == []
    assert client.get("/v1/deliveries", params={"since": "2100-01-01T00:00:00Z"}).json()["deliveries"] == []
    for address in (f"/v1/deliveries/{theirs}", "/v1/deliveries/msg_01M859N4P0ZK88SXJWVC1PBXXR_2", "/v1/deliveries/x"):
        answers = [client.get(address), client.post(f"{address}/replay")]
        assert {problem(answer, 404, "not_found")["detail"] for answer in answers} == {"There is no such delivery."}
    problem(client.get(f"/v1/jobs/{theirs.split('_')[1]}/deliveries"), 404, "not_found")
    assert client.get("/v1/deliveries", headers={"authorization": "Bearer nobody"}).status_code == 401


async def test_a_page_goes_on_after_the_delivery_that_its_cursor_names_was_forgotten(
    client: httpx.Client, store: JobStore
) -> None:
    """From when it was made."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    cursor = client.get("/v1/deliveries", params={"limit": 1}).json()["next_cursor"]
    found = await store.load(ids[2].split("_")[1])
    assert found is not None
    await store.forget(found.job)
    rest = client.get("/v1/deliveries", params={"cursor": cursor}).json()["deliveries"]
    assert [each["id"] for each in rest] == [ids[1], ids[0]]


@pytest.mark.parametrize(
    ("query", "field"),
    [("state=x", "state"), ("since=x", "since"), ("limit=0", "limit"), ("limit=0000001999", "limit"),
     ("cursor=x", "cursor"), ("color=x", "color")],
)  # fmt: skip
def test_a_bad_parameter_is_named_with_what_is_allowed(client: httpx.Client, query: str, field: str) -> None:
    """A problem, as everywhere."""
    refused = problem(client.get(f"/v1/deliveries?{query}"), 422, "invalid_request")
    assert [(error["field"], bool(error["allowed"])) for error in refused["errors"]] == [(field, True)]


@pytest.mark.parametrize(
    ("body", "field"),
    [("", "since"), ("{}", "since"), ('{"since": 5}', "since"), ('{"since": "x"}', "since"),
     ('{"since": "2026-01-01T00:00:00Z", "state": "x"}', "state")],
)  # fmt: skip
def test_a_bad_replay_is_refused_naming_the_field(client: httpx.Client, body: str, field: str) -> None:
    """And replays nothing."""
    refused = problem(client.post("/v1/deliveries/replay", content=body), 422, "invalid_request")
    assert [error["field"] for error in refused["errors"]] == [field]


async def test_replay_and_enable_over_http(client: httpx.Client, deliveries: DeliveryStore, store: JobStore) -> None:
    """A 410, its endpoint listed as disabled, enabled, told again; nothing of it for another tenant."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, GONE, Next("gone"))
    [endpoint] = client.get("/v1/webhook-endpoints").json()["endpoints"]
    assert (endpoint["state"], endpoint["reason"], endpoint["url"]) == (
        "disabled",
        "gone",
        "https://hooks.example/told",
    )
    problem(client.post(f"/v1/deliveries/{an_id}/replay"), 409, "conflict")
    other = {"authorization": "Bearer other-key-0123"}
    assert client.get("/v1/webhook-endpoints", headers=other).json() == {"endpoints": []}
    for wrong, headers in ((endpoint["id"], other), ("ep_0", {}), ("ep_0123456789abcdef", {})):
        problem(client.post(f"/v1/webhook-endpoints/{wrong}/enable", headers=headers), 404, "not_found")
    assert client.post(f"/v1/webhook-endpoints/{endpoint['id']}/enable").json()["state"] == "ok"
    again = client.post(f"/v1/deliveries/{an_id}/replay")
    assert (again.status_code, again.json()["state"], again.json()["id"]) == (202, "pending", an_id)
    await tried(deliveries, an_id, OK, Next("delivered"))
    since = {"since": "2026-01-01T00:00:00Z", "state": "delivered"}
    assert client.post("/v1/deliveries/replay", json=since).json() == {"replayed": 1, "skipped": 0, "next_since": None}
    assert client.post("/v1/deliveries/replay", json=since, headers=other).json()["replayed"] == 0
    assert 'darkroom_deliveries{state="pending"} 1.0' in client.get("/metrics").text


def test_a_tenant_sees_and_rotates_its_own_secret_only(client: httpx.Client) -> None:
    """The shared one is not shown: with it one tenant could sign what another believes."""
    assert client.get("/v1/webhook-secret").json() == {"secret": None, "shared": True, "previous_until": None}
    made = client.post("/v1/webhook-secret/rotate").json()
    assert made["secret"].startswith("whsec_") and made["previous_until"] and not made["shared"]
    assert client.get("/v1/webhook-secret").json() == made
    assert client.post("/v1/webhook-secret/rotate").json()["secret"] != made["secret"]
    other = {"authorization": "Bearer other-key-0123"}
    assert client.get("/v1/webhook-secret", headers=other).json()["shared"] is True


async def test_what_is_answered_is_what_openapi_says(deliveries: DeliveryStore, store: JobStore) -> None:
    """Field by field."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, GONE, Next("gone"))
    found, [endpoint] = await deliveries.read(an_id), await deliveries.endpoints("acme")
    assert found is not None
    shown: list[tuple[Any, dict[str, Any]]] = [
        (DeliveryView, delivery_view(found)),
        (EndpointView, endpoint_view(endpoint)),
    ]
    for model, view in shown:
        assert model.model_validate(view, strict=True).model_dump() == view
