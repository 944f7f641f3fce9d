"""`darkroom submit`: submits jobs, from options, a JSON file or stdin.

Every submit carries an Idempotency-Key; if none is given, the command makes one. So after a lost answer the request can
be repeated, and never makes a second job.
"""

import argparse
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from api.cli.caller.accepted import add_wait_option, show_accepted
from api.cli.caller.connection import Api, ApiRefusal, Exit, Row, add_connection_options, refused, with_api

OPTIONS = {
    "prompt": "prompt",
    "negative-prompt": "negative_prompt",
    "model": "model_id",
    "width": "width",
    "height": "height",
    "samples": "samples",
    "steps": "num_inference_steps",
    "seed": "seed",
    "guidance-scale": "guidance_scale",
    "scheduler": "scheduler",
    "webhook": "webhook",
    "track-id": "track_id",
    "deadline": "deadline_seconds",
    "priority": "priority",
    "on-unknown": "on_unknown",
}
"""Options and their attributes. The API validates the values."""
TRIES = 3
PAUSE_SECONDS = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The request's attributes, and what to do once it is accepted."""
    for name, attribute in OPTIONS.items():
        parser.add_argument(f"--{name}", dest=f"attribute_{attribute}", metavar="VALUE", help=f"`{attribute}`")
    parser.add_argument("--set", action="append", default=[], type=_pair, metavar="NAME=VALUE",
                        help="any other attribute; see the API's /docs")  # fmt: skip
    parser.add_argument("--metadata", action="append", default=[], type=_pair, metavar="KEY=VALUE")
    parser.add_argument("-f", "--file", help="a JSON object, or an array of up to 1,000 of them; - is stdin")
    parser.add_argument("--idempotency-key", metavar="KEY", help="the same key and request are the same job for a day")
    add_wait_option(parser)
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the id of each job that was accepted."""
    return with_api(arguments, lambda api: _submit(api, arguments))


def _submit(api: Api, arguments: argparse.Namespace) -> int:
    body = request_body(_read(arguments.file), _attributes(arguments))
    key = arguments.idempotency_key or f"darkroom-{uuid.uuid4()}"
    if not key.isascii() or not key.isprintable():
        raise refused("--idempotency-key is not usable: 1 to 255 printable ASCII characters.")
    path = "/v1/jobs/batch" if isinstance(body, list) else "/v1/jobs"
    answer = _post(api, path, body, key)
    return show_accepted(api, answer["jobs"] if isinstance(body, list) else [answer], arguments)


def request_body(given: Any, attributes: Row) -> Row | list[Any]:
    """The body to send: the request of the file, overridden by the options. A batch takes no options. Pure."""
    if isinstance(given, list):
        if attributes:
            raise refused("a file with an array is sent as it is: no attribute can be given beside it.")
        return given
    if not isinstance(given, dict):
        raise refused("--file is not usable: it must hold a JSON object or an array of them.")
    if not given and not attributes:
        raise refused("nothing to submit: give --prompt and --model, or --file.")
    metadata = {**(given.get("metadata") or {}), **attributes.get("metadata", {})}
    return {**given, **attributes} | ({"metadata": metadata} if metadata else {})


def _attributes(arguments: argparse.Namespace) -> Row:
    values = {name: getattr(arguments, f"attribute_{name}") for name in OPTIONS.values()}
    attributes: Row = {name: value for name, value in values.items() if value is not None} | dict(arguments.set)
    return attributes | ({"metadata": dict(arguments.metadata)} if arguments.metadata else {})


def _read(name: str | None) -> Any:
    if name is None:
        return {}
    try:
        return json.loads(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
    except OSError as error:
        raise refused(f"--file cannot be read ({error.strerror}).") from None
    except ValueError:  # its text would repeat the request
        raise refused("--file is not usable: it is not JSON.") from None


def _post(api: Api, path: str, body: Row | list[Any], key: str) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return api.call("POST", path, json=body, headers={"idempotency-key": key})
        except ApiRefusal as refusal:
            lost = refusal.exit is Exit.AWAY and refusal.problem["code"] in ("unreachable", "unavailable", "internal")
            if not lost or not left:
                raise
        time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(text)
    return name, value
