"""An S3 server for tests: the one that the environment names, else a Swift of our own; always behind a faulty proxy.

`DARKROOM_TEST_S3_ENDPOINT` with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` names one, such as Ceph's radosgw.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import obstore
from obstore.store import S3Store

from api.cli.stack.redis_server import free_port
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.processes import until

KEY, SECRET, REGION = "test:tester", "a-secret-of-the-store", "us-east-1"


@dataclass(frozen=True)
class TestBucket:
    """A fresh bucket on a real server, reached through the proxy."""

    __test__ = False

    name: str
    proxy: FaultyProxy
    credentials: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """What names this bucket to the product, less the prefix of environment variables."""
        return {"images_url": f"s3://{self.name}/images", "s3_endpoint": self.proxy.url}

    def signed(self, method: str, key: str, seconds: int = 60) -> str:
        """A presigned address of the bucket itself, for what the product never does."""
        return obstore.sign(self._store(), method, key, timedelta(seconds=seconds))  # type: ignore[arg-type]

    def objects(self, prefix: str = "") -> list[str]:
        """Every object under a prefix."""
        return sorted(row["path"] for row in obstore.list(self._store(), prefix).collect())

    @property
    def knows_ranges(self) -> bool:
        """Whether the server gives the right bytes for a part of an object: radosgw on its own database does not."""
        obstore.put(self._store(), "ranges", bytes(range(20)))
        found = httpx.get(self.signed("GET", "ranges"), headers={"range": "bytes=10-19"}).content
        obstore.delete(self._store(), "ranges")
        return found == bytes(range(10, 20))

    def uploads(self) -> int:
        """Multipart uploads that were begun and neither completed nor aborted, as the proxy saw them."""
        begun = self.proxy.count("POST", "?uploads")
        ended = {path for method, path in self.proxy.seen if method in ("DELETE", "POST") and "?uploadId=" in path}
        return begun - len(ended)

    def _store(self) -> S3Store:
        keys = {name.removeprefix("AWS_").lower(): value for name, value in self.credentials.items()}
        options: Any = {
            "endpoint": self.proxy.url,
            "virtual_hosted_style_request": False,
            "client_options": {"allow_http": True},
        } | keys
        return S3Store(self.name, **options)


@contextmanager
def running_bucket(folder: Path) -> Iterator[TestBucket]:
    """A new bucket, on the server that is there or on one that is started for it."""
    with _server(folder) as (url, credentials), faulty_proxy(url) as proxy:
        bucket = TestBucket(f"darkroom-{token_hex(6)}", proxy, credentials)
        assert httpx.put(bucket.signed("PUT", "")).status_code == 200
        proxy.seen.clear()
        yield bucket


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if given := os.environ.get("DARKROOM_TEST_S3_ENDPOINT"):
        keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        yield given.rstrip("/"), keys | {"AWS_REGION": os.environ.get("AWS_REGION", REGION)}
        return
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.object_server", str(folder), str(port), KEY, SECRET]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), what="the object server")
        yield url, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.HTTPError:
        return False
