"""`python -m tests.fuzz.guided TARGET bytes|structured FOUND [libFuzzer's options] CORPUS`: one target by coverage.

`bytes` mutates the seeds; `structured` mutates the choices that Hypothesis makes its examples from. Input that breaks
the target's promise is kept in the folder FOUND as it was given to the target, and ends the process.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import atheris
import structlog

with atheris.instrument_imports(include=["api", "config", "worker", "httpx", "idna", "yarl", "urllib3"]):
    from tests.fuzz.every import TARGETS

from hypothesis import HealthCheck, given, settings

Check = Callable[[bytes], None]


def main() -> None:
    """Runs until libFuzzer ends the process: 0 when its time is over, another code behind a finding."""
    name, mode, found = sys.argv[1:4]
    del sys.argv[1:4]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    target = TARGETS[name]
    check = _keeping(target.check, Path(found))
    atheris.Setup(sys.argv, check if mode == "bytes" else _structured(check, name), enable_python_coverage=True)
    atheris.Fuzz()


def _keeping(check: Check, folder: Path) -> Check:
    def kept(data: bytes) -> None:
        try:
            check(data)
        except BaseException:
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            raise

    return kept


def _structured(check: Check, name: str) -> Check:
    quiet = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    test = quiet(given(TARGETS[name].examples)(check))

    def one(data: bytes) -> None:
        test.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]

    return one


if __name__ == "__main__":
    main()
