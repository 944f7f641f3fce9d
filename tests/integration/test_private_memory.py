"""Who runs as the same user reads neither the memory nor the environment of a process that holds secrets."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import ctypes, os
from pathlib import Path
from config.private_memory import PR_SET_DUMPABLE, keep_memory_private

def neighbour_reads():
    \"\"\"Whether another process of this user can read this one's environment.\"\"\"
    own = os.getpid()
    if not (child := os.fork()):
        try:
            os._exit(0 if b"canary" in Path(f"/proc/{own}/environ").read_bytes() else 2)
        except PermissionError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

if os.getuid() == 0:  # root may read everything
    os.setuid(65534)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
print(neighbour_reads())
keep_memory_private()
print(neighbour_reads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_neighbour_of_the_same_user_reads_no_environment() -> None:
    """It could before."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env={"DARKROOM_SECRET": "canary"}, capture_output=True, check=True
    )
    assert found.stdout.split() == [b"0", b"1"]
