"""Progress on a terminal, on stderr, so that a pipe gets only the answer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

WORDS = TextColumn("{task.description}", markup=False)


@contextmanager
def waiting_line(words: str) -> Iterator["WaitingLine"]:
    """A line for waiting: words that change, and the time that it has taken."""
    with _progress(SpinnerColumn(), WORDS, TimeElapsedColumn()) as progress:
        yield WaitingLine(progress, words)


def download_bars() -> Progress:
    """A bar for each download."""
    return _progress(WORDS, BarColumn(), DownloadColumn())


class WaitingLine:
    """The line of one wait."""

    def __init__(self, progress: Progress, words: str) -> None:
        self._progress = progress
        self._task = progress.add_task(words, total=None)

    def say(self, words: str) -> None:
        """Changes its words."""
        self._progress.update(self._task, description=words)


def _progress(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # rich would redirect stdout to stderr, which would be wrong for a pipe
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
