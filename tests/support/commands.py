"""`darkroom` in this process, which is quick: no interpreter starts, nothing is imported again."""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest
import structlog

from api.cli.main import main
from config.settings import load_settings


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def darkroom(environment: Mapping[str, str], words: Sequence[str]) -> Done:
    """One command to its end, with these variables on top of our own; what it raises is raised here."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _own_logs(), redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        load_settings.cache_clear()
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    load_settings.cache_clear()
    return Done(code, out.getvalue(), err.getvalue())


@contextmanager
def _own_logs() -> Iterator[None]:
    """Commands say where their log lines go: afterwards they go where they went."""
    root, kept = logging.getLogger(), structlog.get_config()
    level, handlers = root.level, root.handlers[:]
    configure = structlog.configure
    try:
        with pytest.MonkeyPatch.context() as patch:
            # a logger that was cached would keep the command's configuration for the life of this process
            patch.setattr(
                structlog, "configure", lambda **given: configure(**given | {"cache_logger_on_first_use": False})
            )
            yield
    finally:
        structlog.configure(**kept)
        root.setLevel(level)
        root.handlers[:] = handlers
