"""The numbers of deploy/proxy/nginx.conf against those of the API: a proxy may allow less, never more."""

import re
from pathlib import Path

from api.app import BATCH_BYTES, create_app
from api.guard import bounds
from config.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
BATCH = TEXT.partition("location = /v1/jobs/batch {")[2].partition("}")[0]
HIDDEN = {"/metrics", "/readyz"}
"""Paths of the API that are for the operator."""


def value(name: str, text: str = TEXT) -> list[str]:
    """The words of a directive where it stands first."""
    found = re.search(rf"^\s*{name} ([^;]+);", text, re.MULTILINE)
    assert found, name
    return found[1].split()


def size(word: str) -> int:
    """Bytes, of nginx' spelling."""
    return int(word[:-1]) * {"k": bounds.KIB, "m": bounds.MIB}[word[-1]]


def seconds(name: str, text: str = TEXT) -> float:
    """Seconds of a directive."""
    return float(value(name, text)[0].removesuffix("s"))


def test_a_head_is_bounded_as_by_the_guard() -> None:
    """A first line or a field fits into one buffer, the head into all of them."""
    (count, each), first = value("large_client_header_buffers"), value("client_header_buffer_size")[0]
    assert size(each) <= bounds.ADDRESS_BYTES <= bounds.FIELD_BYTES
    assert int(count) * size(each) + size(first) <= bounds.HEAD_BYTES
    assert seconds("client_header_timeout") <= bounds.REQUEST_SECONDS


def test_a_body_is_bounded_as_by_the_api() -> None:
    """Only the batch has more. Bodies are not kept here, so the guard's ten seconds for a whole request hold."""
    assert size(value("client_max_body_size")[0]) == Settings(_env_file=None).max_body_bytes == bounds.SMALL_BYTES
    assert size(value("client_max_body_size", BATCH)[0]) == BATCH_BYTES
    assert value("proxy_request_buffering") == ["off"]
    assert seconds("client_body_timeout") <= bounds.REQUEST_SECONDS


def test_an_answer_is_bounded_as_by_the_guard() -> None:
    """How long it may lie unread; how many are open at once, and of one address as many streams as of one tenant."""
    settings = Settings(_env_file=None)
    assert seconds("send_timeout") <= bounds.UNREAD_SECONDS
    assert settings.tenant_max_followers < int(value("limit_conn address")[0]) < settings.max_connections
    assert settings.max_followers < int(value("limit_conn all")[0]) < settings.max_connections
    assert seconds("proxy_read_timeout") > 60, "`Prefer: wait=60`"


def test_what_a_caller_says_about_itself_does_not_reach_the_api() -> None:
    """Who the caller is, and by which name it came, is what nginx saw."""
    told = dict(re.findall(r"proxy_set_header (\S+) ([^;]+);", TEXT))
    assert told["Host"] == told["X-Forwarded-Host"] == "$host"
    assert told["X-Forwarded-For"] == "$remote_addr"
    assert {name for name, text in told.items() if text == '""'} == {"Forwarded", "X-Real-IP", "Proxy", "Trailer"}
    assert told["Connection"] == "close"


def test_every_path_of_the_api_is_led_there_but_the_operators() -> None:
    """A new one that no location covers would be a 404 in production only."""
    exact = set(re.findall(r"location = (/\S*) \{\n\s+(?!internal)", TEXT))
    prefixes = tuple(re.findall(r"location (/\S+/) \{", TEXT))
    app = create_app(Settings(_env_file=None, secret="a-secret-of-a-test-0123"))
    paths = {*app.openapi()["paths"], "/healthz", "/openapi.json", "/docs", "/", *HIDDEN}
    assert {each for each in paths if each not in exact and not each.startswith(prefixes)} == HIDDEN
