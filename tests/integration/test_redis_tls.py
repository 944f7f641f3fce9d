"""rediss://, real: a certificate that nobody vouches for is refused by our connections and by Celery's alike.

The embedded server speaks no TLS, so a relay in front of it does.
"""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from celery import Celery
from redis.exceptions import ConnectionError as RedisConnectionError

from config.broker import celery_options
from worker.store.lane import Lane, RedisUnavailable, connect

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost` that vouches for itself; its key lies beside it."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run(
        [*made, "-keyout", str(path.with_suffix(".key")), "-out", str(path)], check=True, capture_output=True
    )
    return path


class Relay(ThreadingTCPServer):
    """Takes TLS, gives plain."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, server_port: int) -> None:
        self.context, self.server_port = context, server_port
        super().__init__(("127.0.0.1", 0), Passage)


class Passage(BaseRequestHandler):
    """One connection."""

    server: Relay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.server_port)) as inner:
            try:
                with self.server.context.wrap_socket(self.request, server_side=True) as outer:
                    back = Thread(target=_copy, args=(inner, outer))
                    back.start()
                    _copy(outer, inner)
                    back.join()
            except OSError:  # refused by who called: that is what a test is about
                return


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65_536):
            target.sendall(part)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@pytest.fixture
def tls_url(redis_url: str, certificate: Path) -> Iterator[str]:
    """The server's address by way of a relay that speaks TLS."""
    server_port = int(redis_url.rpartition(":")[2].partition("/")[0])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with Relay(context, server_port) as relay:
        thread = Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        port = relay.server_address[1]
        yield redis_url.replace("redis://", "rediss://").replace(f"127.0.0.1:{server_port}", f"localhost:{port}")
        relay.shutdown()
        thread.join()


def ping_as_celery(url: str) -> bool:
    """What Celery's own connection is answered."""
    app = Celery("x", set_as_current=False)
    app.conf.update(celery_options(url))
    with app.connection_for_write() as connection:
        return bool(connection.transport.create_channel(connection.transport.establish_connection()).client.ping())


async def ping_as_we_do(url: str) -> bool:
    """What our own connection is answered; RedisUnavailable where it cannot be made."""
    lane = Lane(connect(url, 5), 5)
    try:
        return bool(await lane.call("PING") == b"PONG")
    finally:
        await lane.aclose()


async def test_a_certificate_that_is_vouched_for_is_taken_by_both(tls_url: str, certificate: Path) -> None:
    """`ssl_ca_certs` names who vouches."""
    url = f"{tls_url}?ssl_ca_certs={certificate}"
    assert await ping_as_we_do(url)
    assert await asyncio.to_thread(ping_as_celery, url)


async def test_a_named_user_comes_in_as_well(tls_url: str, certificate: Path) -> None:
    """Name and password go through both libraries, as each role has its own in production."""
    url = f"{tls_url.replace('//:', '//default:')}?ssl_ca_certs={certificate}"
    assert await ping_as_we_do(url)
    assert await asyncio.to_thread(ping_as_celery, url)


async def test_a_stranger_s_certificate_is_refused_by_both(tls_url: str) -> None:
    """Celery's library would take it: it reads rediss:// without options as "check nothing"."""
    with pytest.raises(RedisUnavailable):
        await ping_as_we_do(tls_url)
    with pytest.raises(RedisConnectionError):
        await asyncio.to_thread(ping_as_celery, tls_url)


async def test_not_to_check_must_be_said(tls_url: str) -> None:
    """`ssl_cert_reqs=none`, for a managed Redis with a certificate of its own."""
    url = f"{tls_url}?ssl_cert_reqs=none"
    assert await ping_as_we_do(url)
    assert await asyncio.to_thread(ping_as_celery, url)
