"""Times in text, read where the machine's own clock is far from UTC."""

import argparse
import time
from collections.abc import Iterator

import pytest

from api.cli.main import main
from api.cli.operator.bulk import add_options
from api.endpoints.listing import parse_query
from api.http.problems import Problem
from worker.job.times import from_rfc3339, rfc3339

NOON = 1_795_435_200_000
"""2026-11-23T12:00:00Z in milliseconds."""


@pytest.fixture(autouse=True, params=["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def far_from_utc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine 14 hours ahead of UTC, and one 11 hours behind it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text", ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00", "2026-11-23 12:00", "2026-11-23T14:00:00+02:00"]
)
def test_a_time_without_a_zone_is_utc(text: str) -> None:
    """Whatever the machine's clock says: the same request means the same jobs everywhere."""
    assert from_rfc3339(text) == NOON
    query = parse_query({"created_after": text, "created_before": text})
    assert (query.jobs.after, query.jobs.before) == (NOON, NOON)
    assert rfc3339(NOON) == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    """Never a 500."""
    with pytest.raises(Problem) as caught:
        parse_query({"created_before": text})
    assert caught.value.errors[0]["field"] == "created_before"


def test_a_verb_that_removes_reads_the_zone_that_is_given() -> None:
    """In UTC or beside it."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    words = ["purge", "--all-tenants", "--created-after", "2026-11-23T12:00:00Z"]
    chosen = parser.parse_args([*words, "--created-before", "2026-11-23T14:00:00+02:00"])
    assert (chosen.created_after, chosen.created_before) == (NOON, NOON)


@pytest.mark.parametrize("text", ["2026-11-23T12:00:00", "2026-11-23", "yesterday"])
def test_a_verb_that_removes_refuses_a_time_without_a_zone(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence: what it would remove hours too much of cannot be brought back."""
    with pytest.raises(SystemExit) as ended:
        main(["bulk", "purge", "--all-tenants", "--created-before", text])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("--created-before: not an RFC 3339 time with its zone, such as 2026-11-23T12:00:00Z")
