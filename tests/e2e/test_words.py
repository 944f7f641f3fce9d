"""The upstream's words: they stop no other tenant, whatever they say of the account, and show nobody what is ours."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.support.neighbours import Waits
from tests.support.processes import KEY, Installation, until
from tests.support.receiver import Receiver
from worker.signing import callback_token

ATTACKS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "http-500": (30, "[[http=500]]", {}),
    "lora-premium": (12, "[[reject=LoRA {lora_model} not found]]", {"lora_model": "premium"}),
    "lora-rate-limit": (1, "[[reject=LoRA {lora_model} not found]]", {"lora_model": "a cat,rate limit"}),
    "premium-plan": (12, "[[reject=This needs a premium plan]]", {}),
    "http-403": (12, "[[http=403]]", {}),
    "http-401-echo": (12, "[[http=401]][[reject={model_id} is unauthorized]]", {"model_id": "private-model"}),
    "http-429": (6, "[[http=429]]", {}),
}
"""By the tenant that does it: how many jobs, their prompt, and more of their requests."""
CANARY = "UpstreamKeyCanary77-b1c2d3e4f5"
REPEATED = "key {key}, webhook {webhook}, model {model_id}, ours {track_id}"
ECHOES = [
    f"[[reject={REPEATED}]]",
    f"[[reject={REPEATED}]][[http=401]]",
    f"[[reject={REPEATED}]][[http=503]]",
    f"[[fail={REPEATED}]]",
    f"[[fail={REPEATED}]][[no-callback]][[eta=0]]",
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file; what is learned of the account stays from one to the next."""
    keys = ",".join(f"{tenant}:{key_of(tenant)}" for tenant in ("acme", "quiet", *ATTACKS))
    folder = tmp_path_factory.mktemp("installation")
    ours = {"api_keys": keys, "upstream_key": CANARY, "sandbox_key": CANARY}
    with Installation(folder, sandbox_seconds="0.05", sandbox_queue_limit="100", **ours) as installation:
        yield installation


def key_of(tenant: str) -> str:
    return KEY if tenant == "acme" else f"{tenant}-{KEY}"


class Tenant:
    """One of the tenants, by its own key."""

    def __init__(self, here: Installation, name: str) -> None:
        self._client, self._headers = here.client, {"authorization": f"Bearer {key_of(name)}"}

    def post(self, prompt: str, **more: Any) -> str:
        """The id of a job."""
        body = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64} | more
        job_id: str = self._client.post("/v1/jobs", json=body, headers=self._headers).json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self._client.get(f"/v1/jobs/{job_id}", headers=self._headers).json()
        return job

    def cancel(self, job_id: str) -> None:
        self._client.post(f"/v1/jobs/{job_id}/cancel", headers=self._headers)

    def waited(self) -> list[float]:
        """Seconds until each of a few jobs is done, one after another."""
        return [self._waited_for_one() for _ in range(5)]

    def _waited_for_one(self) -> float:
        began = time.monotonic()
        job_id = self.post("quiet")
        until(lambda: self.job(job_id)["status"] == "succeeded", what="a quiet job")
        return time.monotonic() - began


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_one_tenant_is_refused_for_delays_no_other(attack: str, here: Installation) -> None:
    """It comes first, and all at once; the other tenant's jobs go at the pace of calm."""
    jobs, prompt, more = ATTACKS[attack]
    quiet, loud = Tenant(here, "quiet"), Tenant(here, attack)
    calm = quiet.waited()
    posted = [loud.post(f"{number} {prompt}", **more) for number in range(jobs)]
    until(lambda: loud.job(posted[0])["attempts"], what="a first refusal")
    waits = Waits(calm, quiet.waited())
    for job_id in posted:
        loud.cancel(job_id)
    waits.check()


@pytest.mark.parametrize("echo", ECHOES, ids=["refused", "401", "503", "callback", "fetch"])
def test_an_upstream_that_repeats_what_it_was_sent_shows_nothing_of_ours(echo: str, here: Installation) -> None:
    """Neither the job, nor its delivery, nor the other dialects, nor the record, nor what an operator sees."""
    with Receiver() as receiver:
        job_id = here.post(echo, model_id="named-by-the-caller", webhook=receiver.url, deadline_seconds=20)["id"]
        told = until(lambda: (shown := here.job(job_id)) and "named-by-the-caller, ours" in str(shown) and shown)
        if told["status"] not in ("failed", "expired"):
            here.client.post(f"/v1/jobs/{job_id}/cancel")
        until(lambda: receiver.requests, what="a delivery")
    with Redis.from_url(here.redis.url) as redis:
        kept = [redis.hgetall(f"job:{job_id}"), *map(redis.hgetall, redis.keys("upstream:*"))]
        kept += [redis.hgetall(name) for name in redis.keys(f"delivery:msg_{job_id}*")]
    compatible = here.client.post(f"/api/v1/enterprise/fetch/{job_id}", json={"key": KEY}).text
    seen = [told, here.job(job_id), receiver.requests, compatible, kept, here.run("flow").stdout]
    secret = signature(here, told["attempts"][0]["track_id"])
    ours = (CANARY, secret, f"{here.api_port}/webhooks")
    assert [each for each in ours if any(each in str(shown) for shown in seen)] == []


def signature(here: Installation, track_id: str) -> str:
    """What must stay secret of the attempt's callback address."""
    return callback_token(track_id, (here.settings["DARKROOM_SECRET"].encode(),)).rpartition(".")[2]
