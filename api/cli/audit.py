"""`darkroom audit`: does the whole store still keep its promises? Exit code 0: yes; 1: findings. Fit for cron."""

import argparse
import asyncio
import json

from config.settings import Settings, load_settings
from worker.audit import Audit, Finding
from worker.composition import job_store
from worker.images.store import open_store
from worker.lane import Lane, connect

TIMEOUT_SECONDS = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--repair", action="store_true", help="mend what can be mended without buying or losing")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Audits, and says what it found."""
    return asyncio.run(_audit(load_settings(), repair=arguments.repair, as_json=arguments.json))


async def _audit(settings: Settings, *, repair: bool, as_json: bool) -> int:
    lane = Lane(connect(settings.redis_url.get_secret_value(), TIMEOUT_SECONDS), TIMEOUT_SECONDS)
    audit = Audit(lane, job_store(settings, lane), open_store(settings))
    try:
        findings = await audit.findings()
        for finding in findings:
            mended = repair and finding.repair is not None
            if mended and finding.repair:
                await finding.repair()
            _say(finding, mended=mended, as_json=as_json)
        await audit.note(len(findings))
    finally:
        await lane.aclose()
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
