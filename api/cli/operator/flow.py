"""`darkroom flow`: accounts (upstream keys) and tenants: load, limits, pauses, and what an operator has set."""

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from api.cli.operator.engine import Engine, on_engine
from worker.operate.flow import AccountFlow, TenantFlow

SEEN_MS = 30_000
"""An account that no worker has announced for so long is not used any more."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Shows it."""
    return on_engine(lambda engine: _show(engine, as_json=arguments.json))


async def _show(engine: Engine, *, as_json: bool) -> int:
    paused, accounts = await engine.flow.paused(), await engine.flow.accounts()
    tenants = [await engine.flow.tenant(name) for name in await engine.flow.tenants()]
    if as_json:
        shown = {"paused": paused, "keys": list(map(asdict, accounts)), "tenants": list(map(asdict, tenants))}
        print(json.dumps(shown))
        return 0
    console = Console(highlight=False)
    if paused is not None:
        console.print(f"[red]everything is paused[/]: {paused}", markup=True)
    console.print(_accounts_table(accounts, engine.store.now()))
    console.print(_tenants_table(tenants))
    return 0


def _accounts_table(accounts: list[AccountFlow], now: int) -> Table:
    table = Table("account", "held", "limit", "set by", "state")
    for each in accounts:
        by = "operator" if each.override is not None else "learning" if each.learned else "settings"
        table.add_row(each.name, str(each.held), str(each.limit), by, _state(each, now))
    return table


def _state(account: AccountFlow, now: int) -> str:
    if account.drained is not None:
        return f"drained: {account.drained}"
    if now - account.seen > SEEN_MS:
        return "in no worker's configuration"
    if account.paused_until > now:
        whom = f" for tenant {account.held_tenant}" if account.held_tenant else ""
        return f"rests for {(account.paused_until - now) // 1000} s{whom}: {account.reason}"
    return "in use"


def _tenants_table(tenants: list[TenantFlow]) -> Table:
    table = Table("tenant", "waiting", "weight", "images today", "this month", "set", "state")
    for tenant in tenants:
        settings = " ".join(f"{name}={value:g}" for name, value in tenant.limits.items())
        day, month = (f"{used.spent} + {used.open} open" for used in (tenant.day, tenant.month))
        state = "" if tenant.paused is None else f"paused: {tenant.paused}"
        table.add_row(tenant.name, str(tenant.waiting), f"{tenant.weight:g}", day, month, settings, state)
    return table
