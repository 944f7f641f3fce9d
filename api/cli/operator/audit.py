"""`darkroom audit`: checks the promises over the whole store. Exit code 0: all hold; 1: findings; 3: Redis is away."""

import argparse
import json

from api.cli.operator.engine import Engine, on_engine
from api.cli.operator.installation import checked_installation
from worker.operate.audit import Audit, Finding


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--repair", action="store_true", help="mend what can be mended without buying or losing")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Runs the audit and prints its findings."""
    return on_engine(lambda engine: _audit(engine, repair=arguments.repair, as_json=arguments.json))


async def _audit(engine: Engine, *, repair: bool, as_json: bool) -> int:
    installation = await checked_installation(engine, "nothing was looked at")
    audit = Audit(engine.lane, engine.store, installation.images)
    findings = await audit.findings()
    for finding in findings:
        mended = repair and finding.repair is not None
        if mended and finding.repair:
            await finding.repair()
        _say(finding, mended=mended, as_json=as_json)
    await audit.note(len(findings))
    if not as_json:
        print("every invariant holds" if not findings else f"{len(findings)} findings")
    return 1 if findings else 0


def _say(finding: Finding, *, mended: bool, as_json: bool) -> None:
    if as_json:
        facts = {
            "rule": finding.rule,
            "subject": finding.subject,
            "repairable": bool(finding.repair),
            "repaired": mended,
        }
        print(json.dumps(facts))
    else:
        tail = " (repaired)" if mended else " (--repair mends it)" if finding.repair else ""
        print(f"{finding.rule}: {finding.subject}{tail}")
