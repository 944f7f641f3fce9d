"""`darkroom deliveries`: lists webhook deliveries with their tries; replays one, or all since a time."""

import argparse
import json
import sys
from collections.abc import AsyncIterator

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.times import read_time
from worker.composition import delivery_store
from worker.job.ids import is_job_id
from worker.job.record import Milliseconds
from worker.job.times import rfc3339
from worker.shown.delivery import delivery_view
from worker.telling.deliveries import DeliveryStore
from worker.telling.record import DELIVERY_ID, STATES, Delivery

WRONG_USAGE = 2
ROWS = 50


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("replay", nargs="?", choices=("replay",), help="tell again: one by id, or all --since")
    parser.add_argument("id", nargs="?", help="the delivery to tell again")
    parser.add_argument("--job", metavar="ID", help="only those of this job")
    parser.add_argument("--tenant", help="only those of this tenant")
    parser.add_argument("--state", choices=STATES, help="only those in this state")
    parser.add_argument("--since", metavar="TIME", type=read_time, help="only those made since then (RFC 3339)")
    parser.add_argument("--limit", metavar="N", type=int, default=ROWS, help=f"rows of each tenant (default {ROWS})")
    parser.add_argument("--dry-run", action="store_true", help="with replay --since: count only")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0: done; 1: nothing found; 2: wrong usage; 3: Redis is away."""
    if wrong := _wrong(arguments):
        print(f"darkroom deliveries: {wrong}", file=sys.stderr)
        return WRONG_USAGE
    if not arguments.replay:
        return on_engine(lambda engine: _show(engine, arguments))
    return on_engine(lambda engine: _replay(engine, arguments) if arguments.id else _replay_since(engine, arguments))


def _wrong(arguments: argparse.Namespace) -> str | None:
    if arguments.replay and (arguments.id is None) == (arguments.since is None):
        return "replay takes a delivery's id, or --since TIME"
    if arguments.replay and (arguments.job or arguments.json):
        return "replay takes no --job and no --json"
    if arguments.dry_run and not (arguments.replay and arguments.since is not None):
        return "--dry-run goes with replay --since"
    if arguments.limit < 1:
        return "--limit is 1 or more"
    return None


async def _show(engine: Engine, arguments: argparse.Namespace) -> int:
    deliveries, shown = delivery_store(engine.settings, engine.lane), 0
    async for each in _chosen(engine, deliveries, arguments):
        print(json.dumps({"tenant": each.tenant} | delivery_view(each)) if arguments.json else _line(each))
        shown += 1
    if not shown and not arguments.json:
        print("there are none")
    return 0 if shown else 1


async def _chosen(engine: Engine, deliveries: DeliveryStore, arguments: argparse.Namespace) -> AsyncIterator[Delivery]:
    if arguments.job:
        for each in await deliveries.of_job(arguments.job) if is_job_id(arguments.job) else []:
            if _fits(each, arguments):
                yield each
        return
    for tenant in await _tenants(engine, arguments):
        left, cursor, started = arguments.limit, None, False
        while left and (cursor or not started):
            page = await deliveries.page(
                tenant, since=arguments.since or 0, state=arguments.state or "", most=left, cursor=cursor
            )
            for each in page.rows:
                yield each
            left, cursor, started = left - len(page.rows), page.next, True


def _fits(delivery: Delivery, arguments: argparse.Namespace) -> bool:
    return (
        (not arguments.state or delivery.state == arguments.state)
        and delivery.created_at >= (arguments.since or 0)
        and (not arguments.tenant or delivery.tenant == arguments.tenant)
    )


async def _replay(engine: Engine, arguments: argparse.Namespace) -> int:
    deliveries = delivery_store(engine.settings, engine.lane)
    found = await deliveries.read(arguments.id) if DELIVERY_ID.fullmatch(arguments.id) else None
    verdict = await deliveries.replay(found.tenant, found.id) if found else "missing"
    print({
        "missing": "there is no such delivery",
        "under_way": "it is being told just now",
        "replayed": "it is told again",
        "endpoint_disabled": "its endpoint is disabled: see `darkroom webhooks enable`",
    }[verdict])  # fmt: skip
    return 1 if verdict in ("missing", "endpoint_disabled") else 0


async def _replay_since(engine: Engine, arguments: argparse.Namespace) -> int:
    """Replays all of them, each tenant at its own pace; the limit per call of the API does not apply to operators."""
    deliveries, replayed, skipped = delivery_store(engine.settings, engine.lane), 0, 0
    for tenant in await _tenants(engine, arguments):
        since: Milliseconds | None = arguments.since
        while since is not None:
            done = await deliveries.replay_since(
                tenant, since, state=arguments.state or "", counts_only=arguments.dry_run
            )
            replayed, skipped = replayed + done.replayed, skipped + done.skipped
            since = done.next_since
    print(f"{replayed} {'would be told' if arguments.dry_run else 'are told'} again, {skipped} stay as they are")
    return 0 if replayed else 1


async def _tenants(engine: Engine, arguments: argparse.Namespace) -> list[str]:
    return [arguments.tenant] if arguments.tenant else await engine.flow.tenants()


def _line(delivery: Delivery) -> str:
    last = delivery.attempts[-1] if delivery.attempts else None
    said = f"  last {last['status'] or last['error']} after {last['seconds']} s" if last else ""
    waits = f"  next {rfc3339(delivery.next_try_at)}" if delivery.next_try_at else ""
    made = rfc3339(delivery.created_at)
    return f"{delivery.id}  {delivery.tenant}  {delivery.state}  made {made}  {delivery.tries} tries{said}{waits}"
