"""Makes one thread of another process stand still, as a bug would: all its other threads run on."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
WALL = 0x40000000


@contextmanager
def main_thread_stopped(pid: int) -> Iterator[None]:
    """The main thread of that process, until the process ends. Then its end is handed on to its parent."""
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot attach")
    os.waitpid(pid, WALL)
    try:
        yield
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, WALL)  # its end: until we take note of it, its parent does not hear of it
