"""Known tenants, for verbs that set something for one: a typing error must not make a new tenant."""

import argparse
import difflib
import sys

from api.cli.operator.engine import Engine
from api.keys import configured_keys
from worker.store.api_keys import KeyStore


def add_new_option(parser: argparse.ArgumentParser) -> None:
    """`--new`: for a tenant that does not exist yet, or whose keys this shell does not see."""
    parser.add_argument("--new", action="store_true", help="also for a tenant that has no key and no job yet")


async def is_known(engine: Engine, name: str) -> bool:
    """Whether the tenant has a key or ever had a job; if not, prints the known tenants."""
    keys = (*configured_keys(engine.settings).values(), *(await KeyStore(engine.lane).all()).values())
    known = {key.tenant for key in keys} | set(await engine.flow.tenants())
    if name in known:
        return True
    near = difflib.get_close_matches(name, known, 3) or sorted(known)[:10]
    there_are = f"known are: {', '.join(near)}" if near else "there is none yet"
    print(f"darkroom: there is no tenant {name!r}; {there_are}. One that is still to come: --new.", file=sys.stderr)
    return False
