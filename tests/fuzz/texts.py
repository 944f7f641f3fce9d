"""Short texts: the address of Redis, times, pages, ranges, ids."""

from contextlib import suppress

from hypothesis import strategies as st
from kombu.utils.url import parse_url

from api.endpoints.images import names, requested_span
from api.endpoints.listing import parse_query
from api.http.problems import Problem
from config.redis_address import parse_redis_address
from tests.fuzz.target import Target
from worker.job.ids import attempt_track_id, is_job_id, parse_track_id
from worker.job.times import from_rfc3339

CANARY = "hunter22"
SIZE = 1000


def check_redis_address(data: bytes) -> None:
    """An address or a ValueError that repeats nothing; and Celery's library reads the same server and password."""
    url = data.decode(errors="replace")
    try:
        address = parse_redis_address(url)
    except ValueError as error:
        assert CANARY not in str(error)
        return
    assert CANARY not in repr(address) or CANARY in (address.username or "") + str(address.hosts) + (
        address.primary or ""
    )
    if address.primary is None and address.password:
        told = parse_url(address.broker_url)
        [(host, port)] = address.hosts
        assert (told["hostname"], told["port"]) == (host.lower(), port), url
        assert told["password"] == address.password, url


def check_text(data: bytes) -> None:
    """A value or a problem: times, a list's parameters, a range of an image, an id."""
    text = data.decode(errors="replace")
    with suppress(ValueError):
        assert isinstance(from_rfc3339(text), int)
    for name in ("status", "track_id", "created_after", "created_before", "limit", "cursor", "metadata.a", text):
        with suppress(Problem):
            query = parse_query({name: text})
            assert 1 <= query.limit <= 200
            assert query.cursor is None or is_job_id(query.cursor)
    with suppress(Problem):
        span = requested_span(text, SIZE)
        assert 0 <= span.start < span.end <= SIZE
    names([text], '"etag"')
    if proven := parse_track_id(text):
        assert is_job_id(proven[0])
        assert attempt_track_id(*proven).partition("-")[0] == text.partition("-")[0]


ADDRESSES = st.builds(
    lambda scheme, login, host, path: f"{scheme}://{login}{host}{path}".encode(errors="replace"),
    st.sampled_from(["redis", "rediss", "sentinel", "sentinels", "http"]),
    st.sampled_from(["", f":{CANARY}@", f"user:{CANARY}@", f":{CANARY}%40%3A%zz@", f"{CANARY}@"]),
    st.sampled_from(["localhost", "h:6379", "[::1]:6380", "a,b:1,c", "h:99999", "h;i"]) | st.text(max_size=6),
    st.sampled_from(["", "/0", "/mymaster/1", "/x", "/0?ssl_cert_reqs=none", f"/0?{CANARY}=1", "/０"]),
)
TEXTS = st.text(max_size=40) | st.datetimes().map(lambda at: at.isoformat()) | st.from_regex(r"bytes=\d{0,5}-\d{0,5}")
SEED_ADDRESSES = (
    b"redis://:hunter22@localhost:6379/0",
    b"sentinels://:hunter22@a,b:26379/mymaster/0?ssl_cert_reqs=none",
)
SEED_TEXTS = (b"2026-11-23T12:34:56.789Z", b"0001-01-01T00:00:00+23:59", b"bytes=0-99", b"01M859N4P0ZK88SXJWVC1PBXXR-1")

REDIS = Target(check_redis_address, lambda: SEED_ADDRESSES, ADDRESSES)
TEXT = Target(check_text, lambda: SEED_TEXTS, TEXTS.map(lambda text: text.encode(errors="replace")))
