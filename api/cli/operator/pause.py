"""`darkroom pause` and `darkroom resume`: everything, one tenant, or one account (which drains it)."""

import argparse

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.tenants import add_new_option, is_known


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to stop, and why."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--tenant", help="only this tenant's jobs")
    what.add_argument(
        "--account", "--key", metavar="NAME", help="only this account: it gets no more jobs, what it has goes on"
    )
    add_new_option(parser)
    parser.add_argument("--reason", default="by an operator", help="shown to whoever waits")


def run(arguments: argparse.Namespace) -> int:
    """Stops handing out jobs. Exit code 1 if there is no such account or tenant."""
    return on_engine(lambda engine: hold(engine, arguments, arguments.reason))


async def hold(engine: Engine, arguments: argparse.Namespace, reason: str | None) -> int:
    """Pauses with that reason; None resumes."""
    tenant, account = arguments.tenant, arguments.account
    word = "resumed" if reason is None else "paused"
    if account is not None and not await engine.flow.drain(account, reason):
        known = ", ".join(each.name for each in await engine.flow.accounts())
        print(f"there is no account {account}; known are: {known or 'none, as no worker has run'}")
        return 1
    if tenant is not None and not (arguments.new or await is_known(engine, tenant)):
        return 1
    if tenant is not None:
        await engine.flow.pause_tenant(tenant, reason)
    if tenant is None and account is None:
        await (engine.flow.resume() if reason is None else engine.flow.pause(reason))
    print(f"{word}: {f'tenant {tenant}' if tenant else f'account {account}' if account else 'everything'}")
    return 0
