"""One decoder child as its parent sees it: a process, two pipes, and what of its answers is believed."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from worker.images.broken import BrokenImage
from worker.images.child import LENGTH_BYTES
from worker.images.decoded import FORMATS, DecodedImage

END_SECONDS = 5.0
LONGEST_ANSWER_BYTES = 65_536
LONGEST_REASON = 200
ROOT = Path(__file__).parents[2]


class ChildGone(Exception):
    """A child ended instead of answering. The text says how; `code` is its exit code."""

    def __init__(self, how: str, code: int | None = None) -> None:
        super().__init__(how)
        self.code = code


class Child:
    """One process and its two pipes. `start`, `ask` and `reap` block; `kill` does not, and any thread may call it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self.jail = ""

    def start(self) -> str:
        """Starts the process and waits until it is in its jail, which is returned. Raises BrokenImage, not ChildGone:
        an image that it has not seen is not to blame.
        """
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={})
        self._process = process
        if self._killed:  # killed while it was being started
            process.kill()
        try:
            self.jail = str(_line(process)["jail"])
        except (ChildGone, OSError) as error:
            self.reap()
            raise BrokenImage("was not decoded: no decoder starts") from error
        return self.jail

    def ask(self, data: bytes) -> DecodedImage | BrokenImage:
        """The child's answer for these bytes. Raises ChildGone; BrokenImage if no child starts."""
        if self._process is None:
            self.start()
        process = self._process
        try:
            return _exchange(process, data) if process else BrokenImage("was not decoded: its decoder was killed")
        except OSError as error:
            raise ChildGone(type(error).__name__, self.reap()) from error
        except ChildGone as gone:
            code = self.reap()
            raise ChildGone(f"{gone}, exit {code}", code) from None

    def kill(self) -> None:
        """Kills the process now; a thread that waits for its answer gets ChildGone."""
        self._killed = True
        if process := self._process:
            process.kill()

    def reap(self) -> int | None:
        """Kills the process and closes its pipes, so that no zombie is left. Returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in _pipes(process):
            with suppress(OSError):  # bytes that the child did not read
                pipe.close()
        return process.wait(END_SECONDS)


def _exchange(process: "subprocess.Popen[bytes]", data: bytes) -> DecodedImage | BrokenImage:
    stdin, _ = _pipes(process)
    stdin.write(len(data).to_bytes(LENGTH_BYTES, "big"))
    stdin.write(data)
    stdin.flush()
    try:
        return _believed(_line(process), data)
    except (KeyError, TypeError, ValueError) as error:
        raise ChildGone("answers nonsense") from error


def _line(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    _, stdout = _pipes(process)
    line = stdout.readline(LONGEST_ANSWER_BYTES)
    if not line.endswith(b"\n"):
        raise ChildGone("no answer")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    return cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)


def _believed(answer: dict[str, Any], data: bytes) -> DecodedImage | BrokenImage:
    """The answer as far as a child is believed that an image may have taken over: nothing of it names a file.

    Raises KeyError, TypeError or ValueError for one that no decoder gives.
    """
    if "broken" in answer:
        return BrokenImage(str(answer["broken"])[:LONGEST_REASON])
    form, width, height, size = answer["format"], int(answer["width"]), int(answer["height"]), int(answer["size"])
    if form not in FORMATS or not (0 < size <= len(data) and width > 0 and height > 0):
        raise ValueError(form)
    whole = data if size == len(data) else data[:size]
    return DecodedImage(form, width, height, whole, hashlib.sha256(whole).hexdigest(), answer["blank"] is True)
