"""`darkroom limit`: changes limits of accounts (upstream keys) and tenants at run time; they stay until reset."""

import argparse
import re
from typing import cast

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.tenants import add_new_option, is_known
from worker.operate.flow import TENANT_LIMITS, Limit

NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?")
WHOLE = ("waiting", "burst", "images_day", "images_month", "bytes")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Whose limit, and to what."""
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--account", "--key", metavar="NAME", help="an account: how many jobs it may hold")
    whose.add_argument("--tenant", metavar="NAME", help="a tenant: pairs of limit=number")
    add_new_option(parser)
    parser.add_argument(
        "values",
        nargs="+",
        metavar="VALUE",
        help="for an account a number, or `auto` (as configured or learned); for a tenant pairs of weight, rate, "
        "burst, waiting, images_day, images_month, bytes and a number (0: no limit) or `default` (as configured)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Sets limits. Exit code 1: no such account or tenant; 2: a value that cannot be used."""
    if arguments.account:
        return _limit_account(arguments.account, arguments.values)
    pairs = [value.partition("=")[::2] for value in arguments.values]
    if bad := next((name for name, value in pairs if not _usable(name, value)), None):
        names = ", ".join(("weight", *TENANT_LIMITS))
        print(f"{bad!r} is not usable: give limit=number or limit=default, with {names} (a weight is above 0)")
        return 2
    return on_engine(lambda engine: _limit_tenant(engine, arguments.tenant, dict(pairs), is_new=arguments.new))


def _limit_account(name: str, values: list[str]) -> int:
    value = values[0]
    if len(values) > 1 or not (value == "auto" or (value.isdigit() and 0 < int(value) <= 100_000)):
        print("give one number from 1 to 100000, or auto; to stop an account: darkroom pause --account")
        return 2
    return on_engine(lambda engine: _override(engine, name, None if value == "auto" else int(value)))


async def _override(engine: Engine, name: str, limit: int | None) -> int:
    if not await engine.flow.limit_upstream(name, limit):
        print(f"there is no account {name}: see darkroom flow")
        return 1
    print(f"account {name}: {'as configured or learned' if limit is None else f'{limit} jobs at once'}")
    return 0


def _usable(name: str, value: str) -> bool:
    if name not in ("weight", *TENANT_LIMITS):
        return False
    if value == "default":
        return True
    number = float(value) if NUMBER.fullmatch(value) else -1.0
    return number >= (0.001 if name == "weight" else 0) and (name not in WHOLE or number == int(number))


async def _limit_tenant(engine: Engine, tenant: str, values: dict[str, str], *, is_new: bool) -> int:
    if not (is_new or await is_known(engine, tenant)):
        return 1
    for name, value in values.items():
        number = None if value == "default" else float(value)
        whole = int(number) if number is not None and number == int(number) else number
        await engine.flow.limit_tenant(tenant, cast("Limit", name), whole)
        print(f"tenant {tenant}: {name} {value}")
    return 0
