"""`darkroom webhooks`: signing secrets of deliveries, and endpoints that were disabled."""

import argparse
import json
import sys

from api.cli.operator.engine import Engine, on_engine
from worker.composition import delivery_store
from worker.job.times import rfc3339
from worker.shown.delivery import endpoint_view
from worker.store.api_keys import TENANT_PATTERN
from worker.telling.record import Endpoint
from worker.telling.secrets import WebhookSecrets

WRONG_USAGE = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sub-commands."""
    verbs = parser.add_subparsers(required=True, metavar="secret|endpoints|enable")
    secret = verbs.add_parser("secret", help="show the secret that signs for a tenant, or the shared one")
    secret.add_argument("tenant", nargs="?", help="a tenant; without it, the secret of all that have none of their own")
    secret.add_argument("--rotate", action="store_true", help="make a new one; the old one signs along for 24 hours")
    secret.set_defaults(act=_secret)
    endpoints = verbs.add_parser("endpoints", help="list the addresses that callers are told at")
    endpoints.add_argument("tenant", nargs="?", help="only this tenant's")
    endpoints.add_argument("--json", action="store_true", help="one JSON object a line")
    endpoints.set_defaults(act=_endpoints)
    enable = verbs.add_parser("enable", help="tell a disabled endpoint again")
    enable.add_argument("tenant")
    enable.add_argument("endpoint", help="its id, as `endpoints` shows it")
    enable.set_defaults(act=_enable)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0: done; 1: not found; 2: wrong usage; 3: Redis is away."""
    tenant = getattr(arguments, "tenant", None)
    if tenant is not None and not TENANT_PATTERN.fullmatch(tenant):
        print("darkroom webhooks: a tenant's name is of a-z 0-9 _ -", file=sys.stderr)
        return WRONG_USAGE
    if getattr(arguments, "rotate", False) and tenant is None:
        print("darkroom webhooks: the shared secret is changed with DARKROOM_WEBHOOK_SECRET=old,new; "
              "--rotate takes a TENANT", file=sys.stderr)  # fmt: skip
        return WRONG_USAGE
    return on_engine(lambda engine: arguments.act(engine, arguments))


async def _secret(engine: Engine, arguments: argparse.Namespace) -> int:
    secrets = WebhookSecrets(engine.settings, engine.lane)
    if arguments.tenant is None:
        print(*await secrets.shared(), sep="\n")
        return 0
    signing = await (secrets.rotate if arguments.rotate else secrets.of)(arguments.tenant)
    print(*signing.secrets, sep="\n")
    if not signing.own:
        print("shared: this tenant has none of its own (--rotate makes one)", file=sys.stderr)
    if signing.previous_until:
        print(f"the first is the newest; the others sign until {rfc3339(signing.previous_until)}", file=sys.stderr)
    return 0


async def _endpoints(engine: Engine, arguments: argparse.Namespace) -> int:
    deliveries, shown = delivery_store(engine.settings, engine.lane), 0
    for tenant in [arguments.tenant] if arguments.tenant else await engine.flow.tenants():
        for each in await deliveries.endpoints(tenant):
            print(json.dumps({"tenant": tenant} | endpoint_view(each)) if arguments.json else _line(tenant, each))
            shown += 1
    if not shown and not arguments.json:
        print("there are none")
    return 0 if shown else 1


async def _enable(engine: Engine, arguments: argparse.Namespace) -> int:
    endpoint = await delivery_store(engine.settings, engine.lane).enable(arguments.tenant, arguments.endpoint)
    if endpoint is None:
        print("there is no such endpoint")
        return 1
    print("it is told again; `darkroom deliveries replay --since TIME` tells what was not sent meanwhile")
    return 0


def _line(tenant: str, endpoint: Endpoint) -> str:
    view = endpoint_view(endpoint)
    why = f" ({endpoint.reason}, {view['disabled_at']})" if endpoint.disabled_at else ""
    since = f" since {view['failing_since']}, {endpoint.failures} tries" if view["state"] == "failing" else ""
    return f"{endpoint.id}  {tenant}  {view['state']}{why}{since}  {endpoint.url}"
