"""`darkroom`: one command. Each verb is a module, which is loaded only when the verb is used."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Verb:
    """A verb: its module has `run(arguments) -> exit code` and, where it takes options, `add_options(parser)`."""

    module: str
    help: str


VERBS = {
    "up": Verb("api.cli.stack.up", "run the whole stack with a sandbox upstream"),
    "demo": Verb("api.cli.stack.demo", "run one job through the whole stack, show its image, stop"),
    "doctor": Verb("api.cli.operator.doctor", "check whether this installation is ready to buy"),
    "audit": Verb("api.cli.operator.audit", "check every promise over the whole store (exit code for cron)"),
    "callbacks": Verb("api.cli.operator.callbacks", "list orphaned callbacks (without a job), and replay stored ones"),
    "parked": Verb("api.cli.operator.parked", "list messages that were taken from a queue and were none of ours"),
    "flow": Verb("api.cli.operator.flow", "show accounts (upstream keys) and tenants: load, limits, pauses"),
    "pause": Verb("api.cli.operator.pause", "stop handing out jobs: all, of a tenant, or to an account"),
    "resume": Verb("api.cli.operator.resume", "end a pause"),
    "limit": Verb("api.cli.operator.limit", "change the limits of an account or a tenant while everything runs"),
    "usage": Verb("api.cli.operator.usage", "show what tenants have used of their budgets"),
    "bulk": Verb("api.cli.operator.bulk", "cancel or remove many jobs by filter, counting them first"),
    "deliveries": Verb("api.cli.operator.deliveries", "list webhook deliveries; replay one, or all since a time"),
    "webhooks": Verb("api.cli.operator.webhooks", "signing secrets, and endpoints that were disabled"),
    "installation": Verb("api.cli.operator.installation", "say whether this Redis and image store belong together"),
    "explain": Verb("api.cli.operator.explain", "say why a job is where it is"),
    "submit": Verb("api.cli.caller.submit", "submit jobs to a running API; --wait follows them to their end"),
    "get": Verb("api.cli.caller.get", "show a job: status, reason, cost, attempts, timeline"),
    "list": Verb("api.cli.caller.list", "list jobs, newest first, by filter"),
    "watch": Verb("api.cli.caller.watch", "print a job's transitions as they happen"),
    "images": Verb("api.cli.caller.images", "download a job's images, verified by their SHA-256"),
    "cancel": Verb("api.cli.caller.cancel", "end a job, and say whether it was charged"),
    "retry": Verb("api.cli.caller.retry", "run a failed job again as a new one"),
    "keys": Verb("api.cli.operator.keys", "make, list and revoke API keys"),
    "settings": Verb("api.cli.settings_docs", "show every setting with its default and meaning"),
    "alive": Verb("api.cli.stack.alive", "say by the exit code whether a part answers (for health checks)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the verb of the command line. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(words[0] if words else "").parse_args(words)
    try:
        code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    return code


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="darkroom", description="An asynchronous job queue for text-to-image.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, verb in VERBS.items():
        options = verbs.add_parser(name, help=verb.help, description=verb.help)
        if name == chosen:
            module = import_module(verb.module)
            options.set_defaults(run=module.run)
            if hasattr(module, "add_options"):
                module.add_options(options)
    return parser


if __name__ == "__main__":
    sys.exit(main())
