"""Refusals of what never becomes a request: written as bytes, as no application has seen it."""

from http import HTTPStatus

import orjson

from api.http.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem


class Refused(Exception):
    """Raised inside the parser's callbacks: what comes here is not taken any further."""

    def __init__(self, code: str, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.detail = code, reason, detail


def refusal_bytes(code: str, detail: str) -> bytes:
    """A whole answer with the problem, after which the connection ends."""
    problem = Problem(code, detail)
    status, body = problem.status, orjson.dumps(problem.document(""))
    retry = f"retry-after: {RETRY_AFTER_SECONDS}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
