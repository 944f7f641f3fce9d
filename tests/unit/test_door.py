"""What the door refuses before it looks closely, and conditions of an image."""

import json
import time
from typing import Any

import pytest

from api.endpoints.images import names
from api.endpoints.listing import parse_query
from api.http.problems import InvalidRequest, Problem
from api.schemas.request import MOST_ERRORS, parse_batch, parse_request
from config.settings import Settings
from worker.job.record import Job, Order
from worker.network.addresses import AddressRefused, check_url
from worker.startup import check_settings

LEAST = {"model_id": "m", "prompt": "a cat"}


def refused(content: Any, *, batch: bool = False) -> list[dict[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        (parse_batch if batch else parse_request)(json.dumps(content).encode())
    return list(caught.value.errors)


def cpu_seconds(content: Any) -> float:
    """What refusing it costs, at the best of three times: other work on the machine only ever adds."""

    def once() -> float:
        began = time.process_time()
        refused(content)
        return time.process_time() - began

    return min(once() for _ in range(3))


def test_a_request_of_thousands_of_keys_is_one_error_at_once() -> None:
    """Looking for the nearest name of each would hold up everybody."""
    one, all_of_them = LEAST | {"widht": 1}, LEAST | {f"widht{number}": 1 for number in range(7000)}
    assert len(refused(all_of_them)) == 1
    assert cpu_seconds(all_of_them) < 500 * cpu_seconds(one), "each of the 7,000 was compared with every known name"


def test_a_batch_stops_looking_at_a_hundred_errors() -> None:
    """The rest of 1,000 bad requests is not looked at."""
    begun = time.process_time()
    errors = refused([{f"wi{number}": 1 for number in range(60)}] * 1000, batch=True)
    assert len(errors) == MOST_ERRORS
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "metadata",
    ['{"a": 1' + "0" * 30 + "}", '{"a": 1e999}', "[]", '{"a": {}}', json.dumps(dict.fromkeys("abcdefghijklmnopq", 1))],
)
def test_metadata_that_cannot_be_kept_is_refused(metadata: str) -> None:
    """Neither a 500 nor another value than the caller's."""
    with pytest.raises(InvalidRequest) as caught:
        parse_request(f'{{"model_id": "m", "prompt": "a", "metadata": {metadata}}}'.encode())
    assert [error["field"] for error in caught.value.errors] == ["metadata"]


def test_integers_of_nearly_64_bits_are_kept() -> None:
    """To the last one."""
    metadata = {"a": 9 * 10**18, "b": -9 * 10**18, "c": 0.5, "d": True}
    assert parse_request(json.dumps(LEAST | {"metadata": metadata}).encode()).metadata == metadata


@pytest.mark.parametrize("name", ["track_id", "prompt", "seed", "width"])
@pytest.mark.parametrize("number", ["1" + "0" * 30, "1e999"])
def test_a_number_beyond_64_bits_is_refused_in_every_field(name: str, number: str) -> None:
    """Never a 500."""
    rest = {key: value for key, value in LEAST.items() if key != name}
    with pytest.raises(InvalidRequest) as caught:
        parse_request((json.dumps(rest)[:-1] + f', "{name}": {number}}}').encode())
    assert name in {error["field"] for error in caught.value.errors}


def test_text_in_a_number_field_is_shown_only_where_it_is_a_number() -> None:
    """It may be a prompt in the wrong place."""
    (text,) = refused(LEAST | {"width": "a secret prompt"})
    (number,) = refused(LEAST | {"width": "5000"})
    assert "secret" not in text["message"] and '"5000"' in number["message"]


@pytest.mark.parametrize("limit", ["0", "201", "100000000", "0000001000", "10" * 3000])
def test_a_limit_is_read_whole(limit: str) -> None:
    """Not its first characters."""
    with pytest.raises(Problem):
        parse_query({"limit": limit})


@pytest.mark.parametrize(
    ("query", "found"),
    [("None", False), ("true", True), ("True", False)],
)
def test_metadata_is_compared_as_json_writes_it(query: str, found: bool) -> None:
    """And a key that is not there matches nothing."""
    order = Order("01M859N4P0ZK88SXJWVC1PBXXR", "acme", 0, 1, {}, metadata={"flag": True})
    key = "nope" if query == "None" else "flag"
    assert parse_query({f"metadata.{key}": query}).jobs.matches(Job(order)) is found


@pytest.mark.parametrize(
    ("given", "found"),
    [(["*"], True), (['"a"'], True), (['W/"a"'], True), (['"b", "a"'], True), (['"b"', '"a"'], True), (['"xa"'], False),
     (['a'], False), ([], False)],
)  # fmt: skip
def test_if_none_match_is_a_list_of_etags(given: list[str], found: bool) -> None:
    """Never a part of one."""
    assert names(given, '"a"') is found


@pytest.mark.parametrize(
    "url", ["http://xn--a/", "http://a..b/", f"http://{'a' * 64}.com/", "http://xn--zz--zz/"]
)  # fmt: skip
def test_a_host_that_cannot_be_dialled_is_refused_before(url: str) -> None:
    """Otherwise it fails where nobody can be told."""
    with pytest.raises(AddressRefused):
        check_url(url, allow_private=True)


def test_a_private_literal_is_refused_when_it_is_given() -> None:
    """A name is looked up only when it is dialled; a literal needs no looking up."""
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "http://169.254.169.254/"):
        with pytest.raises(AddressRefused):
            check_url(url, allow_private=False)
        check_url(url, allow_private=True)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_%%%", "whsec_YWJj", ",", "abc"])
def test_a_weak_webhook_secret_stops_the_process(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it is the second of two."""
    good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for text in (secret, f"{good},{secret}"):
        with pytest.raises(SystemExit):
            check_settings(Settings(_env_file=None, secret="x" * 20, webhook_secret=text))
    assert "DARKROOM_WEBHOOK_SECRET" in capsys.readouterr().err
    check_settings(Settings(_env_file=None, secret="x" * 20, webhook_secret=good))


@pytest.mark.parametrize(
    ("name", "value"),
    [("unknown_wait_seconds", "inf"), ("redis_url", "redis://h/abc"), ("public_url", "http://h:99999"),
     ("upstream_url", "https://u:p@h/x")],
)  # fmt: skip
def test_a_setting_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    """At start."""
    with pytest.raises(ValueError, match=name):
        Settings(_env_file=None, **{name: value})


def test_long_text_of_metadata_is_refused_and_never_turned_into_a_number() -> None:
    """Found by the fuzzer: 257 zeros were kept as 0."""
    with pytest.raises(InvalidRequest):
        parse_request(json.dumps(LEAST | {"metadata": {"a": "0" * 257}}).encode())
    kept = {"a": "0", "b": 1, "c": 1.0, "d": True, "e": "true"}
    assert parse_request(json.dumps(LEAST | {"metadata": kept}).encode()).metadata == kept
