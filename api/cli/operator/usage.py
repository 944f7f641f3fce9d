"""`darkroom usage`: what tenants use: images bought and open (reserved, or not known), memory in Redis."""

import argparse
import dataclasses
import json

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.tenants import is_known
from worker.operate.flow import TenantFlow


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("tenant", nargs="?", help="only this tenant")
    parser.add_argument("--json", action="store_true", help="one JSON object a line and tenant")


def run(arguments: argparse.Namespace) -> int:
    """Shows it."""
    return on_engine(lambda engine: _show(engine, arguments.tenant, as_json=arguments.json))


async def _show(engine: Engine, only: str | None, *, as_json: bool) -> int:
    if only and not await is_known(engine, only):
        return 1
    for name in [only] if only else await engine.flow.tenants():
        tenant = await engine.flow.tenant(name)
        print(json.dumps(dataclasses.asdict(tenant)) if as_json else _line(tenant))
    return 0


def _line(tenant: TenantFlow) -> str:
    used = (f"{each.period}: {each.spent} images bought, {each.open} open"
            for each in (tenant.day, tenant.month))  # fmt: skip
    return f"{tenant.name}  {';  '.join(used)};  {tenant.waiting} waiting;  {tenant.bytes / 1e6:.1f} MB in Redis"
