"""Errors of asking the upstream (fetch), which is harmless to repeat.

UpstreamError
  UpstreamUnavailable    no answer, or one that says "not now": ask again later
  Unreadable             an answer that cannot be read: ask again later, and log it

A failed submit is not an error but an outcome (worker/job/answer.py).
"""


class UpstreamError(Exception):
    """The upstream could not be asked."""


class UpstreamUnavailable(UpstreamError):
    """No answer, or one that says "not now"."""


class Unreadable(UpstreamError):
    """An answer that cannot be read."""
