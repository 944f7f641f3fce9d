"""`/docs/errors`: the page that every problem's `type` leads to. docs/errors.md has the same words; a test compares."""

import re
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.http.problems import CODES

router = APIRouter()

MEANINGS: dict[str, tuple[str, str]] = {
    "invalid_json": ("the body is not exactly one JSON value", "correct the body"),
    "bad_request": (
        "this is no request as HTTP/1.1 has it, or too many are sent ahead of their answers; the connection ends",
        "send what RFC 9112 asks for",
    ),
    "unauthorized": (
        "no valid API key: it is missing, unknown, revoked or expired; the answer is always the same",
        "send `Authorization: Bearer <api key>`",
    ),
    "forbidden": (
        "the key is valid and lacks the scope that `detail` names (`submit`, `read` or `admin`)",
        "use a key with that scope: [scopes](cli.md#api-keys-and-scopes)",
    ),
    "not_found": ("there is no such thing, or it is not yours", "check the id"),
    "method_not_allowed": ("the address does not take that method", "see `/docs`"),
    "conflict": ("the job's status does not allow this", "read `detail`, look at the job"),
    "body_too_large": ("the body is larger than 64 KiB (a batch: 4 MiB)", "send less"),
    "unsupported_media_type": ("the body is compressed, or not JSON", "send plain JSON"),
    "address_too_long": ("the address is longer than 8 KiB; the connection ends", "send less in the address"),
    "range_not_satisfiable": ("the range is outside the image", "see `Content-Range`"),
    "invalid_request": ("the body has fields or values that are not allowed", "see `errors`"),
    "idempotency_mismatch": ("the `Idempotency-Key` was used with another body", "use a new key"),
    "queue_full": ("the queue of this installation is full", "repeat after `Retry-After`"),
    "tenant_queue_full": ("your tenant has as many waiting jobs as it may have", "repeat after `Retry-After`"),
    "tenant_memory_full": (
        "your tenant's jobs, finished ones too, use as much of the job store's memory as they may",
        "delete finished jobs, or ask for more",
    ),
    "rate_limited": ("more requests than your rate allows", "repeat after `Retry-After`"),
    "too_many_followers": (
        "as many streams of events and waits for a job's end are open as may be; nothing was accepted",
        "end some of them, ask without waiting, or repeat after `Retry-After`",
    ),
    "budget_exceeded": (
        "your tenant's images of this day or month are all bought or reserved",
        "repeat after `Retry-After`, or ask for more",
    ),
    "deadline_unreachable": (
        "with `deadline_policy` `refuse`: the job is not expected to meet its deadline, `detail` has the wait",
        "give it more time, or repeat later",
    ),
    "head_too_large": (
        "there are more than 100 header fields, or more than 32 KiB of them; trailers alike; the connection ends",
        "send fewer or shorter ones",
    ),
    "internal": ("an error of Darkroom; it has been logged", "repeat with the same `Idempotency-Key`, and report it"),
    "unavailable": (
        "the job store or the image store does not answer",
        "repeat after `Retry-After` with the same `Idempotency-Key`",
    ),
    "too_many_connections": (
        "all the connections that there may be are busy, or too many are open from your address",
        "keep connections open and use them again; repeat after `Retry-After`",
    ),
    "generation_failed": (
        "`/v1/images/generations` only: the job ended without images",
        "read the message; repeating buys again",
    ),
    "timeout": (
        "`/v1/images/generations` only: the job did not end in time, and continues",
        "look at the job that the message names",
    ),
    "insufficient_storage": (
        "images cannot be stored, so nothing is bought; or the job store has no room for more jobs",
        "repeat after `Retry-After`; tell the operator",
    ),
}
"""Code → (what it means, what to do), in Markdown."""

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Darkroom: errors</title>
<style>body{font:16px/1.6 system-ui;max-width:60rem;margin:3rem auto;padding:0 1rem;background:#151013;color:#eee}
h1{color:#ff5a4a}code{color:#ff7a6b}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0}
tr:target{background:#3a1f1f}</style>
<h1>Errors</h1><p>Every refusal is <code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>;
<code>errors</code> names each field of a bad body. Nothing that you wrote as text is echoed.</p>
<table><tr><th>code<th>status<th>meaning<th>what to do"""


@router.get("/docs/errors", include_in_schema=False, response_class=HTMLResponse)
async def show_errors() -> str:
    """The page: a table with one row per code; `#code` in the address leads to its row."""
    return PAGE


def _words(markdown: str) -> str:
    """Markdown of a cell as HTML: code stays code, a link becomes its text."""
    text = escape(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown))
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", text)


def _row(code: str) -> str:
    meaning, to_do = MEANINGS[code]
    cells = (f"<code>{code}</code>", str(CODES[code][0]), _words(meaning), _words(to_do))
    return f'<tr id="{code}">' + "".join(f"<td>{cell}" for cell in cells)


PAGE = HEAD + "\n".join(map(_row, MEANINGS)) + "</table></html>"
