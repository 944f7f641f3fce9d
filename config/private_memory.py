"""A process that holds secrets keeps other processes of the same user out of its memory and environment."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """On Linux only root may read this process's memory and environment from now on; it leaves no core dump either.

    A child gets its own memory back with its own program, so each process calls this for itself, first of all.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
