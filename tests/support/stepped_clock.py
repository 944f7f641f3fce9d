"""A Redis whose clock can be set while it runs, without touching the machine's: a library before its time calls.

Needs a C compiler and a server that is linked dynamically.
"""

import mmap
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.cli.stack.redis_server import EmbeddedRedis, find_server, free_port

KEPT_SECONDS = 0.15

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset_s;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("STEPPED_CLOCK"), O_RDONLY);
  offset_s = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  real_clock = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t id, struct timespec *at) {
  int failed = real_clock(id, at);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) at->tv_sec += *offset_s;
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


class SteppedRedis(EmbeddedRedis):
    """An embedded server whose clock is `set_by` so many seconds away from the machine's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port())
        folder.mkdir(parents=True, exist_ok=True)
        self._offset = folder / "clock"
        self._offset.write_bytes(bytes(8))
        self._shim = _compiled(folder)

    def command(self) -> list[str]:
        """The server behind the library."""
        preload = [f"LD_PRELOAD={self._shim}", f"STEPPED_CLOCK={self._offset}"]
        return ["/usr/bin/env", *preload, *super().command()]

    def set_by(self, seconds: int) -> None:
        """From now on its clock shows so many seconds more than the machine's, also where it keeps the time a while."""
        with self._offset.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            shared[:8] = seconds.to_bytes(8, "little", signed=True)
        time.sleep(KEPT_SECONDS)


@contextmanager
def stepped_redis(folder: Path) -> Iterator[SteppedRedis]:
    """One that runs, or the test is skipped where it cannot be built."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here: Redis' clock cannot be set for a test")
    if b"libc.so" not in Path(find_server()).read_bytes():
        pytest.skip("this Redis is linked statically: its clock cannot be set for a test")
    server = SteppedRedis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _compiled(folder: Path) -> Path:
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library.resolve()
