"""`darkroom flow`: what flows and what holds it back: upstream keys, tenants, what an operator has set."""

import argparse
import dataclasses
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from api.cli.operator.engine import Engine, on_engine
from worker.operate.flow import KeyFlow, TenantFlow

SEEN_MS = 30_000
"""A key that no worker has announced for that long is not used."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Shows it."""
    return on_engine(lambda engine: _show(engine, as_json=arguments.json))


async def _show(engine: Engine, *, as_json: bool) -> int:
    paused, keys = await engine.flow.paused(), await engine.flow.keys()
    tenants = [await engine.flow.tenant(name) for name in await engine.flow.tenants()]
    if as_json:
        facts = {"paused": paused, "keys": _plain(keys), "tenants": _plain(tenants)}
        print(json.dumps(facts))
        return 0
    console = Console(highlight=False)
    if paused is not None:
        console.print(f"[red]everything is paused[/]: {paused}", markup=True)
    console.print(_keys_table(keys, engine.store.now()))
    console.print(_tenants_table(tenants))
    return 0


def _plain(rows: list[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in rows]


def _keys_table(keys: list[KeyFlow], now: int) -> Table:
    table = Table("upstream key", "held", "limit", "set by", "state")
    for key in keys:
        by = "operator" if key.override is not None else "learning" if key.learned else "settings"
        table.add_row(key.name, str(key.held), str(key.limit), by, _state(key, now))
    return table


def _state(key: KeyFlow, now: int) -> str:
    if key.drained is not None:
        return f"drained: {key.drained}"
    if now - key.seen > SEEN_MS:
        return "in no worker's configuration"
    if key.paused_until > now:
        return f"rests for {(key.paused_until - now) // 1000} s: {key.reason}"
    return "in use"


def _tenants_table(tenants: list[TenantFlow]) -> Table:
    table = Table("tenant", "waiting", "weight", "images today", "this month", "set", "state")
    for tenant in tenants:
        settings = " ".join(f"{name}={value:g}" for name, value in tenant.limits.items())
        day, month = (f"{used.spent} + {used.open} open" for used in (tenant.day, tenant.month))
        state = "" if tenant.paused is None else f"paused: {tenant.paused}"
        table.add_row(tenant.name, str(tenant.waiting), f"{tenant.weight:g}", day, month, settings, state)
    return table
