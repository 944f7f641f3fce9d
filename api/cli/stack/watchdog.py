"""`python -m api.cli.stack.watchdog CMD…`: runs one command, and ends it when the parent process is gone.

Its standard input is a pipe that nobody writes to. The kernel closes the pipe when the parent ends, also after `kill
-9`, on Linux and on macOS.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

POLL_SECONDS = 0.1
GRACE_SECONDS = 25.0


def main() -> int:
    """Returns the command's exit code. SIGTERM ends the command, as the end of the pipe does."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    threading.Thread(target=_await_end_of_pipe, args=(ending,), daemon=True).start()
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not ending.wait(POLL_SECONDS):
        pass
    _end(child)
    return child.returncode & 0xFF


def _await_end_of_pipe(ending: threading.Event) -> None:
    while os.read(0, 1):
        pass
    ending.set()


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the command, if it is slow, and processes that it left in its session
    child.wait()


if __name__ == "__main__":
    sys.exit(main())
