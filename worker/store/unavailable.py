"""The one error for a Redis that cannot be used; its cause is kept."""

from redis.exceptions import NoScriptError, RedisError, ResponseError

from worker.store.fitness import Unfit

CANNOT_WRITE = ("READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN")


class RedisUnavailable(Exception):
    """Redis did not answer in time, or will not write."""

    may_be_done = False
    """Whether it may have been done nevertheless: it was sent, and no reply was read."""


class RedisUnfit(RedisUnavailable):
    """This Redis is not safe for jobs (worker/store/fitness.py). Nothing was done."""


def translated(error: Exception) -> Exception:
    """Foreign errors become RedisUnavailable with their cause, except for a script that is not loaded, and bugs."""
    text = str(error)
    if isinstance(error, Unfit):
        return RedisUnfit(text)
    if isinstance(error, NoScriptError) or not isinstance(error, RedisError | OSError | TimeoutError):
        return error
    if type(error) is ResponseError and not any(word in text for word in CANNOT_WRITE):
        return error
    unavailable = RedisUnavailable(type(error).__name__)
    unavailable.__cause__ = error
    return unavailable
