"""The provider's callbacks (inbound webhooks): authenticate, limit, store, wake a worker, answer. Decides nothing.

The route is public, and the provider signs nothing (no `signs_callbacks`). So the token in the address is checked
before anything is looked up. Every wrong token gets the same answer in the same time. A token may leak, because it is a
part of an address: so how often one job is heard is limited before the body is read, and `worker.store.inbox.Bounds`
limits what is stored. The body is stored raw, as a hint for the worker.
"""

from fastapi import APIRouter, Request, Response
from pydantic_core import from_json

from api.http.json_answer import json_answer
from api.http.problems import Problem, problem_responses
from api.state import state
from worker.crash_points import Point, reached
from worker.signing import check_callback_token
from worker.upstream.chosen import PROVIDER

router = APIRouter(tags=["upstream"])


PREFIX = PROVIDER.callback_path
ENDS = ("success", "failed", "error")


@router.post(
    PREFIX + "{token}",
    summary="The upstream's callback",
    responses=problem_responses("not_found", "invalid_json", "body_too_large", "rate_limited", "unavailable"),
)
async def receive_callback(token: str, request: Request) -> Response:
    """Keeps the callback of one attempt and wakes its job. A duplicate answers 200 and changes nothing."""
    here = state(request)
    known = check_callback_token(token, here["settings"].secrets)
    if known is None:
        raise Problem("not_found", "There is nothing here.")
    if not here["callback_rate"].admits(known[0]):
        raise _again_later("rate_limited", "More callbacks come for this job than are heard.")
    body = await request.body()
    if not _says_the_end(body):  # a report of progress changes nothing, and must not fill the inbox
        return json_answer({"received": "noted"})
    verdict = await here["store"].inbox.keep(*known, body)
    reached(Point.CALLBACK_KEPT)
    if verdict == "full":
        raise _again_later("unavailable", "More callbacks wait for this attempt than are kept.")
    return json_answer({"received": verdict})


def _says_the_end(body: bytes) -> bool:
    """Whether the body says how a request has ended. Raises Problem if it is no JSON object."""
    if PROVIDER.parse(body).kind in ENDS:
        return True
    if not _is_json_object(body):
        raise Problem("invalid_json", "A callback is a JSON object.")
    return False


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(from_json(body, allow_inf_nan=False), dict)
    except ValueError:
        return False


def _again_later(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers={"retry-after": "5"})
