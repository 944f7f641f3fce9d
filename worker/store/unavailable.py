"""What a Redis that cannot be used is to everybody else: one error, with its cause kept."""

from redis.exceptions import NoScriptError, RedisError, ResponseError

from worker.store.fitness import Unfit

CANNOT_WRITE = ("READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN")


class RedisUnavailable(Exception):
    """Redis did not answer in time, or will not write."""

    may_be_done = False
    """Whether what was asked for may have happened: it was on its way, and no reply to it was read."""


class RedisUnfit(RedisUnavailable):
    """There is a Redis, but not one that jobs can be trusted to (worker/store/fitness.py). Nothing was done."""


def translated(error: Exception) -> Exception:
    """Foreign errors become RedisUnavailable with the cause kept, but for a script that is not loaded, and bugs."""
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
