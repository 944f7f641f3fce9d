"""Two tenants and real processes: whatever the receivers of one do, the other is told as soon as in calm.

Setup: one installation with tighter bounds than usual, so that few deliveries reach them; a name server and a receiver
that do harm by the name and by the path. Proves, for each attack: the quiet tenant's deliveries, at the same host, wait
no longer than before it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from redis import Redis

from config.broker import KEY_PREFIX
from tests.support.bad_receiver import BadReceiver, bad_receiver
from tests.support.deliveries import ended_job
from tests.support.name_server import NameServer
from tests.support.neighbours import Waits
from tests.support.processes import Installation, until
from worker.app import app
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.lane import Lane, connect
from worker.store.messages import message_template

QUIET = 6
"""Deliveries of the quiet tenant, one after the other, in calm and again under attack."""


class Attack(NamedTuple):
    """So many webhooks of each hostile tenant, from a number that counts up."""

    tenants: int
    deliveries: int
    webhook: Callable[[int, int], str]
    """From the number and the receiver's port."""
    reaches: bool = True
    """Whether it reaches the receiver."""


ATTACKS = {
    "six names that are never answered": Attack(1, 6, lambda n, _: f"http://hang{n}.test/told", reaches=False),
    "many names that are never answered": Attack(1, 60, lambda n, _: f"http://hang-{n}.test/told", reaches=False),
    "names that are answered too late": Attack(1, 40, lambda n, _: f"http://late{n}.test/told", reaches=False),
    "one address of a shared host": Attack(1, 100, lambda _, port: f"http://shared.test:{port}/hang"),
    "many addresses of a shared host": Attack(2, 50, lambda n, port: f"http://shared.test:{port}/hang/{n}"),
    "many hosts": Attack(3, 66, lambda n, port: f"http://host{n}.test:{port}/hang"),
    "answers that drip": Attack(1, 40, lambda n, port: f"http://shared.test:{port}/drip/{n}"),
    "answers without an end": Attack(1, 40, lambda n, port: f"http://shared.test:{port}/endless/{n}"),
}


@pytest.fixture(scope="module")
def receiver() -> Iterator[BadReceiver]:
    with bad_receiver() as made:
        yield made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all attacks; each has tenants and endpoints of its own."""
    bounds = {"tell_concurrency": "160", "tell_per_tenant": "64"}  # three tenants could fill a worker
    with (
        NameServer() as server,
        Installation(tmp_path_factory.mktemp("installation"), dns_servers=server.address, **bounds) as made,
    ):
        yield made
        made.kill("worker")  # it would wait for the tries that hang


async def told(here: Installation, tenant: str, webhooks: list[str]) -> list[str]:
    """Ends a job for each webhook; the ids of the deliveries that follow."""
    lane = Lane(connect(here.redis.url, 5), 5)
    store = JobStore(lane, message_template(app), KEY_PREFIX, 60_000)
    made = await asyncio.gather(*(ended_job(store, each, tenant) for each in webhooks))
    await lane.aclose()
    return list(made)


def quiet_waits(here: Installation, receiver: BadReceiver) -> list[float]:
    """Seconds from the end of each job until its receiver was told."""
    waits = []
    for _ in range(QUIET):
        began = time.monotonic()
        [delivery] = asyncio.run(told(here, "quiet", [f"http://shared.test:{receiver.port}/told"]))
        until(lambda: delivery in receiver.told, 20, "the quiet tenant is told")  # noqa: B023
        waits.append(receiver.told[delivery] - began)
    return waits


def taken_in(here: Installation) -> None:
    """Waits until the workers have seen all deliveries, or can take no more of them."""
    with Redis.from_url(here.redis.url) as redis:
        lengths = [-1]
        while lengths[-1] != 0 and lengths[-3:].count(lengths[-1]) < 3:
            time.sleep(0.2)
            lengths.append(redis.llen(CELERY("tell")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_the_receivers_of_one_tenant_do_is_not_felt_by_another(
    name: str, here: Installation, receiver: BadReceiver
) -> None:
    attack = ATTACKS[name]
    calm, before = quiet_waits(here, receiver), receiver.harmed
    for tenant in range(attack.tenants):
        webhooks = [attack.webhook(tenant * attack.deliveries + n, receiver.port) for n in range(attack.deliveries)]
        asyncio.run(told(here, f"hostile-{list(ATTACKS).index(name)}-{tenant}", webhooks))
    taken_in(here)
    if attack.reaches:
        until(lambda: receiver.harmed > before, what="the attack is under way")
    Waits(calm, quiet_waits(here, receiver)).check()
