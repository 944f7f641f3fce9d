"""`darkroom keys`: makes, lists and revokes API keys."""

import argparse
import re
import sys
from datetime import UTC, datetime

from rich.table import Table

from api.cli.caller.connection import plain, print_json
from api.cli.caller.rendering import print_table
from api.cli.operator.engine import Engine, on_engine
from worker.job.times import rfc3339
from worker.store.api_keys import SCOPES, TENANT_ALLOWED, TENANT_PATTERN, Key, KeyStore, Scope, TooManyKeys
from worker.telling.secrets import WebhookSecrets

UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LASTS = re.compile(r"([1-9]\d{0,4})([mhdw])")
MOST_NAME_CHARACTERS = 100
EPILOG = """exit codes: 0 done, 1 there is no such key, 2 wrong usage, 3 Redis does not answer.

A new key works at once; a revoked one stops within 5 seconds, in every API process that reaches Redis. Keys of
DARKROOM_API_KEYS may do everything of their tenant and are not listed here. Scopes: submit (accept, cancel, retry,
resolve, delete), read (every GET), admin (both, and what manages the tenant).
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    acts = parser.add_subparsers(required=True, metavar="ACT", dest="act")
    make = acts.add_parser("make", help="make a key and show it, once")
    make.add_argument("tenant", type=_tenant, help=TENANT_ALLOWED)
    make.add_argument("--scopes", type=_scopes, default=("submit", "read"), metavar="LIST",
                      help=f"comma list of {', '.join(SCOPES)} (default: submit,read)")  # fmt: skip
    make.add_argument("--name", type=_name, default="", help="what it is for, shown in the list")
    make.add_argument("--expires", type=_lasts, metavar="90d", help="how long it lasts: a number and m, h, d or w")
    listed = acts.add_parser("list", help="list the keys, without the keys themselves")
    listed.add_argument("tenant", nargs="?", type=_tenant, help="only this tenant's")
    revoke = acts.add_parser("revoke", help="end a key")
    revoke.add_argument("id", help="its id, as the list has it: 8 characters")
    secret = acts.add_parser("webhook-secret", help="the older name of `darkroom webhooks secret`")
    for act in (make, listed, revoke, secret):
        act.add_argument("--json", action="store_true", help="print JSON, one object a line, and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Works on Redis directly; no API has to run."""
    act = {"make": _make, "list": _list, "revoke": _revoke, "webhook-secret": _webhook_secret}[arguments.act]
    return on_engine(lambda engine: act(engine, arguments))


async def _make(engine: Engine, arguments: argparse.Namespace) -> int:
    try:
        made = KeyStore(engine.lane).make(arguments.tenant, arguments.scopes, arguments.name, arguments.expires)
        text, key = await made
    except TooManyKeys:
        print("darkroom: there are as many keys as can be: revoke some that are not used.", file=sys.stderr)
        return 2
    if arguments.json:
        print_json({"key": text, **_row(key)})
        return 0
    print(text)
    until = f"until {rfc3339(key.expires_at)}" if key.expires_at else "until it is revoked"
    what = f"key {key.id} of tenant {key.tenant} for {', '.join(key.scopes)}, {until}"
    print(f"{what}; it is shown this once, only its hash is kept.", file=sys.stderr)
    return 0


async def _list(engine: Engine, arguments: argparse.Namespace) -> int:
    keys = sorted((await KeyStore(engine.lane).all()).values(), key=lambda key: (key.tenant, key.created_at or 0))
    chosen = [key for key in keys if arguments.tenant in (None, key.tenant)]
    if arguments.json:
        for key in chosen:
            print_json(_row(key))
    elif chosen:
        print_table(_table(chosen, engine.store.now()))
    else:
        print("no keys", file=sys.stderr)
    return 0


async def _revoke(engine: Engine, arguments: argparse.Namespace) -> int:
    key = await KeyStore(engine.lane).revoke(arguments.id)
    if key is None:
        print("darkroom: there is no such key: see darkroom keys list.", file=sys.stderr)
        return 1
    if arguments.json:
        print_json(_row(key))
    else:
        print(f"key {key.id} of tenant {key.tenant} is revoked: it stops within 5 seconds")
    return 0


async def _webhook_secret(engine: Engine, arguments: argparse.Namespace) -> int:
    """The older name of `darkroom webhooks secret`, which shows a tenant's own as well."""
    print("darkroom: this is the older name of `darkroom webhooks secret`.", file=sys.stderr)
    for secret in await WebhookSecrets(engine.settings, engine.lane).shared():
        print_json({"webhook_secret": secret}) if arguments.json else print(secret)
    return 0


def _row(key: Key) -> dict[str, object]:
    times = {"created_at": rfc3339(key.created_at), "expires_at": rfc3339(key.expires_at)}
    return {"id": key.id, "tenant": key.tenant, "scopes": key.scopes, "name": key.name, **times}


def _table(keys: list[Key], now: int) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "tenant", "scopes", "made", "ends", "name"):
        table.add_column(name)
    for key in keys:
        ends = "has ended" if key.expired(now) else _day(key.expires_at)
        table.add_row(key.id, key.tenant, ",".join(key.scopes), _day(key.created_at), ends, plain(key.name))
    return table


def _day(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _tenant(text: str) -> str:
    if not TENANT_PATTERN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a tenant is {TENANT_ALLOWED}")
    return text


def _scopes(text: str) -> tuple[Scope, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    chosen = tuple(scope for scope in SCOPES if scope in words)
    if not words or set(words) - set(SCOPES):
        raise argparse.ArgumentTypeError(f"scopes are a comma list of {', '.join(SCOPES)}")
    return chosen


def _name(text: str) -> str:
    if len(text) > MOST_NAME_CHARACTERS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a name has at most {MOST_NAME_CHARACTERS} printable characters")
    return text


def _lasts(text: str) -> int:
    found = LASTS.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("it is a number and m, h, d or w, such as 90d")
    return int(found[1]) * UNITS[found[2]] * 1000
