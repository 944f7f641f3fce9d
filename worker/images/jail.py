"""The jail of a decoder child: after `enter` an image that takes its decoder over can compute, read stdin and write
stdout, and nothing else. Called once everything that decoding needs is loaded.

On Linux a seccomp filter in the kernel allows the system calls of `ALLOWED` and answers every other with EPERM. Where
there is none (macOS, another processor, a container that forbids it) the limits of the process are left: no new file
or socket, no bytes into a file, and, unless it is root, no new process. They cannot keep it from signals.

The filter is written here, as the kernel's BPF (<linux/seccomp.h>, <linux/bpf_common.h>), because it is one comparison
per call; libseccomp's binding for Python would need that library installed on every machine.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from typing import Literal, NamedTuple

Jail = Literal["seccomp", "limits"]

MOST_MEMORY_BYTES = 1024**3
STANDARD_FILES = 3
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_BITS, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER_AT, PROCESSOR_AT, PROTECTION_AT = 0, 4, 32
"""Offsets in `struct seccomp_data`; the protection is the third argument of mmap and mprotect, low half first."""
EXECUTABLE = 4
ROW_BYTES = 8


class Processor(NamedTuple):
    """A processor's mark in the kernel (AUDIT_ARCH), and the numbers that its kernel gives the calls below."""

    mark: int
    mmap: int
    mprotect: int
    allowed: tuple[int, ...]


ALLOWED = (
    "read write close munmap brk mremap madvise exit exit_group futex rt_sigaction rt_sigprocmask rt_sigreturn "
    "sigaltstack restart_syscall sched_yield setitimer clock_gettime gettimeofday getrandom getpid gettid"
)
"""In the order of the numbers. setitimer limits the CPU seconds of an image (child.py)."""
PROCESSORS = {
    "x86_64": Processor(
        0xC000003E,
        9,
        10,
        (0, 1, 3, 11, 12, 25, 28, 60, 231, 202, 13, 14, 15, 131, 219, 24, 38, 228, 96, 318, 39, 186),
    ),
    "aarch64": Processor(
        0xC00000B7,
        222,
        226,
        (63, 64, 57, 215, 214, 216, 233, 93, 94, 98, 134, 135, 139, 132, 128, 124, 103, 113, 169, 278, 172, 178),
    ),
}


def enter() -> Jail:
    """Gives up for good all that decoding does not need. Returns which jail is in force."""
    _silence_stderr()
    _limit()
    if sys.platform != "linux":
        return "limits"
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # or a neighbour of the same user could read the image in our memory
    processor = PROCESSORS.get(platform.machine())
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or processor is None:
        return "limits"
    program = assembled(processor)
    rows = ctypes.create_string_buffer(program, len(program))
    heading = ctypes.create_string_buffer(struct.pack("HP", len(program) // ROW_BYTES, ctypes.addressof(rows)))
    refused = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(heading), 0, 0)
    return "limits" if refused else "seccomp"


def assembled(processor: Processor) -> bytes:
    """The filter: refuses all but the allowed calls, and executable memory."""
    allowed = processor.allowed
    last = len(allowed)
    rows = [
        (LOAD, 0, 0, PROCESSOR_AT),
        (JUMP_IF_EQUAL, 0, last + 3, processor.mark),  # in another mode of the processor numbers mean other calls
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_IF_EQUAL, last + 2, 0, processor.mmap),
        (JUMP_IF_EQUAL, last + 1, 0, processor.mprotect),
        *((JUMP_IF_EQUAL, last - at + 2, 0, number) for at, number in enumerate(allowed)),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, PROTECTION_AT),
        (JUMP_IF_BITS, 1, 0, EXECUTABLE),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *row) for row in rows)


def _limit() -> None:
    """Hard limits, which the process itself cannot raise again."""
    limits = {
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: STANDARD_FILES,
        resource.RLIMIT_NPROC: 0,
    }
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        limits[resource.RLIMIT_AS] = MOST_MEMORY_BYTES
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def _silence_stderr() -> None:
    """The worker's log goes there: what an image says must not."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, sys.stderr.fileno())
    os.close(silent)
