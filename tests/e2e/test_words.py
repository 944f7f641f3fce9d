"""What one tenant's requests do to the others where the upstream refuses them in words that speak of the account."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.neighbours import Waits
from tests.support.processes import KEY, Installation, until

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


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file; what is learned of the account stays from one to the next."""
    keys = ",".join(f"{tenant}:{key_of(tenant)}" for tenant in ("acme", "quiet", *ATTACKS))
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, sandbox_seconds="0.05", sandbox_queue_limit="100", api_keys=keys) as installation:
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
