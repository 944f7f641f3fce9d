"""The provider's callbacks (inbound webhooks): authenticate, limit, store, wake a worker, answer. Decides nothing.

The route is public, and the provider signs nothing (no `signs_callbacks`). So the token in the address is checked
before anything is looked up. Every wrong token gets the same answer in the same time. The body is stored raw, as a hint
for the worker.
"""

import time

import orjson
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
    responses=problem_responses("not_found", "invalid_json", "body_too_large", "unavailable"),
)
async def receive_callback(token: str, request: Request) -> Response:
    """Keeps the callback of one attempt and wakes its job. A duplicate answers 200 and changes nothing."""
    here = state(request)
    known = check_callback_token(token, here["settings"].secrets)
    if known is None:
        raise Problem("not_found", "There is nothing here.")
    body = await request.body()
    if not _is_json_object(body):
        raise Problem("invalid_json", "A callback is a JSON object.")
    if PROVIDER.parse(body).kind not in ENDS:  # a report of progress changes nothing, and must not fill the inbox
        return json_answer({"received": "noted"})
    job_id, attempt = known
    orphan = orjson.dumps({"at": int(time.time() * 1000), "job": job_id, "attempt": attempt, "body": body.decode()})
    verdict = await here["store"].inbox.keep(job_id, attempt, body, orphan)
    reached(Point.CALLBACK_KEPT)
    if verdict == "full":
        raise Problem(
            "unavailable", "More callbacks wait for this attempt than are kept.", headers={"retry-after": "5"}
        )
    return json_answer({"received": verdict})


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(from_json(body, allow_inf_nan=False), dict)
    except ValueError:
        return False
