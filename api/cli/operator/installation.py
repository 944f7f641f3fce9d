"""`darkroom installation`: checks whether Redis and image store belong together; `--adopt` declares that they do."""

import argparse

from api.cli.operator.engine import Engine, on_engine
from config.settings import stop
from worker.images.chosen import open_store
from worker.images.store import StoreError
from worker.installation import Installation, OtherInstallation


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--adopt`."""
    parser.add_argument("--adopt", action="store_true", help="give the one without an id that of the other")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if both have the same id."""
    return on_engine(lambda engine: _look(engine, adopt=arguments.adopt))


async def _look(engine: Engine, *, adopt: bool) -> int:
    installation = installation_of(engine)
    try:
        if adopt:
            await installation.join(adopt=True)
        ours, theirs = await installation.ids()
    except (OtherInstallation, StoreError) as error:
        stop(str(error))
    print(f"Redis {ours or 'has none'}\nimage store {theirs or 'has none'}")
    return 0 if ours and ours == theirs else 1


async def checked_installation(engine: Engine, nothing_done: str) -> Installation:
    """Redis and image store, if they belong together; else stops, and says that nothing was done."""
    installation = installation_of(engine)
    try:
        await installation.check()
    except (OtherInstallation, StoreError) as error:
        stop(f"{nothing_done}: {error}")
    return installation


def installation_of(engine: Engine) -> Installation:
    """The Redis and the image store of the settings."""
    return Installation(engine.lane, engine.store, open_store(engine.settings))
