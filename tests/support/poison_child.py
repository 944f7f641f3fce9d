"""A decoder's child that does what a hostile image could make it do: the bytes say what.

Run as `python -m tests.support.poison_child`, with the limits of the real one. With `without-seccomp` before the size
it is first put where no further seccomp filter may be installed, as some containers do.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from worker.images.broken import BrokenImage
from worker.images.child import serve
from worker.images.decoded import DecodedImage, inspect
from worker.images.jail import (
    ALLOW,
    JUMP_IF_EQUAL,
    LOAD,
    NUMBER_AT,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    REFUSE,
    RETURN,
    SECCOMP_MODE_FILTER,
)

PRCTL = {"x86_64": 157, "aarch64": 167}
FIRST_ARGUMENT_AT = 16
libc = ctypes.CDLL(None, use_errno=True)


def _spin() -> None:
    while True:
        pass


def _write_a_file() -> None:
    with TemporaryFile() as file:
        file.write(b"x")


POISONS: dict[bytes, Callable[[], object]] = {
    b"segfault": lambda: ctypes.string_at(0),
    b"abort": os.abort,
    b"exit": lambda: os._exit(0),
    b"memory": lambda: bytearray(8 * 1024**3),
    b"spin": _spin,
    b"file": _write_a_file,
    b"silence": lambda: os.close(1),
    b"nonsense": lambda: os.write(1, b'{"format":"../../x","width":1,"height":1,"size":1,"blank":false}\n'),
    b"too much": lambda: os.write(1, b'{"format":"PNG","width":1,"height":1,"size":99,"blank":false}\n'),
}


def _call(name: str, *arguments: int) -> None:
    """A function of libc; raises OSError if it is refused."""
    if getattr(libc, name)(*map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def _dial() -> None:
    with socket.socket() as dialled:
        dialled.connect(("127.0.0.1", 9))


def _run() -> None:
    if not os.fork():
        os._exit(0)


ESCAPES: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_bytes(),
    "list a folder": lambda: list(Path("/").iterdir()),
    "look at a file": lambda: Path("/etc/passwd").stat(),
    "remove a file": lambda: Path("/there-is-no-such-file").unlink(),
    "read the parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "read the parent's memory": lambda: Path(f"/proc/{os.getppid()}/mem").read_bytes(),
    "copy the parent's memory": lambda: _call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0),
    "trace the parent": lambda: _call("ptrace", 16, os.getppid(), 0, 0),
    "stop the parent": lambda: os.kill(os.getppid(), signal.SIGCONT),
    "limit the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),  # type: ignore[attr-defined]
    "dial": _dial,
    "make a socket": lambda: socket.socketpair(),
    "run a process": _run,
    "become another program": lambda: os.execv("/bin/true", ["true"]),
    "run what it wrote": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC | mmap.PROT_WRITE),
    "ask for a ring": lambda: _call("syscall", 425, 1, 0),
    "keep memory as a file": lambda: os.memfd_create("x"),
    "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
}
"""What a decoder that an image has taken over would try next."""


def _try(name: str) -> str:
    try:
        ESCAPES[name]()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except ValueError:  # how Python reports that a limit may not be raised
        return "EPERM"
    return "escaped"


def look(data: bytes, max_pixels: int) -> DecodedImage:
    """Takes the poison, or looks as the real child does. With the name of an escape it tells what came of it."""
    if data.decode("latin-1") in ESCAPES:
        raise BrokenImage(_try(data.decode()))
    if data == b"environment":
        raise BrokenImage(repr(dict(os.environ)))
    if poison := POISONS.get(data):
        poison()
    return inspect(data, max_pixels)


def forbid_seccomp() -> None:
    """From here on no further filter can be installed."""
    rows = [
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_IF_EQUAL, 0, 3, PRCTL[os.uname().machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (JUMP_IF_EQUAL, 0, 1, PR_SET_SECCOMP),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    heading = ctypes.create_string_buffer(struct.pack("HP", len(rows), ctypes.addressof(program)))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(heading), 0, 0)


if __name__ == "__main__":
    if "without-seccomp" in sys.argv:
        forbid_seccomp()
    serve(look, int(sys.argv[-1]))
