"""What can go wrong when the upstream is only asked, which is harmless to repeat.

UpstreamError
  UpstreamUnavailable    no answer, or one that says "not now": ask again later
  Unreadable     an answer that cannot be read: ask again later, and say so in the log

What can go wrong when something is bought is not an error but an outcome (outcome.py).
"""


class UpstreamError(Exception):
    """The upstream could not be asked."""


class UpstreamUnavailable(UpstreamError):
    """No answer, or one that says "not now"."""


class Unreadable(UpstreamError):
    """An answer that cannot be read."""
