"""`darkroom bulk cancel` and `darkroom bulk purge`: by filter; without `--yes` they only count."""

import argparse
import sys

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.installation import checked_installation
from api.cli.operator.times import read_time_with_zone
from worker.images.removal import Forgetting
from worker.job.filter import END_OF_TIME, Filter
from worker.job.record import OPEN, TERMINAL, Status
from worker.operate.bulk import cancel_matching, matching, purge_matching

WITH_ZONE = "RFC 3339, with its zone: 2026-11-23T12:00:00Z"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb, the filter, and `--yes`."""
    parser.add_argument("act", choices=("cancel", "purge"), help="cancel open jobs, or remove finished ones")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--tenant", help="only this tenant's jobs")
    whose.add_argument("--all-tenants", action="store_true", help="every tenant's")
    parser.add_argument("--status", choices=[status.value for status in Status], action="append", default=[])
    parser.add_argument("--created-after", type=read_time_with_zone, default=0, metavar="TIME", help=WITH_ZONE)
    parser.add_argument(
        "--created-before", type=read_time_with_zone, default=END_OF_TIME, metavar="TIME", help=WITH_ZONE
    )
    parser.add_argument("--metadata", action="append", default=[], type=_pair, metavar="KEY=VALUE")
    parser.add_argument("--yes", action="store_true", help="do it; without this it is only counted")


def run(arguments: argparse.Namespace) -> int:
    """Counts or acts. Exit code 1 if no job matches."""
    return on_engine(lambda engine: _act(engine, arguments))


async def _act(engine: Engine, arguments: argparse.Namespace) -> int:
    tenants = [arguments.tenant] if arguments.tenant else await engine.flow.tenants()
    chosen = _filter(arguments)
    if not arguments.yes:
        found = [job.status async for job in matching(engine.store, tenants, chosen)]
        print(f"{len(found)} jobs match; to {arguments.act} them add --yes")
        return 0 if found else 1
    if arguments.act == "purge":
        return await _purge(engine, tenants, chosen)
    done = await cancel_matching(engine.store, tenants, chosen)
    print(f"{done} jobs cancelled")
    return 0 if done else 1


async def _purge(engine: Engine, tenants: list[str], chosen: Filter) -> int:
    """Stops if Redis and the image store do not belong together: records must not be removed without their images."""
    installation = await checked_installation(engine, "nothing was removed")
    forgetting = Forgetting(engine.lane, engine.store, installation.images)
    purged = await purge_matching(engine.store, forgetting, tenants, chosen)
    print(f"{purged.jobs} jobs removed, {purged.files} files with them")
    if purged.folders_left:
        print(f"the folders of {purged.folders_left} could not be removed yet: the workers go on trying")
    return 0 if purged.jobs else 1


def _filter(arguments: argparse.Namespace) -> Filter:
    fitting = OPEN if arguments.act == "cancel" else TERMINAL
    asked = frozenset(map(Status, arguments.status)) or fitting
    if asked - fitting:
        print(f"{arguments.act} is for {', '.join(sorted(fitting))} jobs only", file=sys.stderr)
        raise SystemExit(2)
    return Filter(
        statuses=asked,
        after=arguments.created_after,
        before=arguments.created_before,
        metadata=dict(arguments.metadata),
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(text)
    return key, value
