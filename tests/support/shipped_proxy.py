"""nginx with deploy/proxy/nginx.conf as it is; only where it listens, and where the API is, is the test's own."""

import shutil
import ssl
import subprocess
import time
from pathlib import Path

from api.cli.stack.redis_server import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "proxy" / "nginx.conf"
START_SECONDS = 10.0


class ShippedProxy:
    """One nginx in that folder, in front of the API at that port."""

    def __init__(self, folder: Path, api_port: int) -> None:
        self.folder, self.port, self.plain_port = folder, free_port(), free_port()
        self.folder.mkdir()
        self.certificate = folder / "certificate.pem"
        shutil.copyfile(SHIPPED, folder / "nginx.conf")
        listen = f"listen 127.0.0.1:{self.port} ssl;\nlisten 127.0.0.1:{self.plain_port};\n"
        tls = f"ssl_certificate {self.certificate};\nssl_certificate_key {self.certificate.with_suffix('.key')};\n"
        (folder / "listen.conf").write_text(listen + tls)
        (folder / "upstream.conf").write_text(f"set $api http://127.0.0.1:{api_port};\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How callers reach it."""
        return f"https://localhost:{self.port}"

    @property
    def trusted(self) -> ssl.SSLContext:
        """For a client that takes its certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def start(self) -> None:
        """With a certificate of its own, and as compose runs it; returns when it listens."""
        self._certify()
        command = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-g", "daemon off;"], stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while not (self.folder / "nginx.pid").exists():
            assert self._process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def log(self) -> str:
        """Everything that it has said."""
        return (self.folder / "log").read_text()

    def _certify(self) -> None:
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        key = str(self.certificate.with_suffix(".key"))
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, "-keyout", key]
        subprocess.run([*made, "-out", str(self.certificate)], check=True, capture_output=True)
