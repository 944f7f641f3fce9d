"""OpenStack Swift with its S3 interface in one process: `python -m tests.support.object_server FOLDER PORT KEY SECRET`.

A real server of the S3 protocol that comes as a wheel: it checks signatures, their expiry and the hash of what is sent,
and does multipart. Objects are in memory, lists of them in SQLite. One user, one device, one replica: for tests only.
"""

import sys
from pathlib import Path

import eventlet
from eventlet import wsgi

eventlet.monkey_patch()  # before Swift is imported, which takes threads and sockets as it finds them

from swift.account.server import AccountController  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.middleware import catch_errors, slo, tempauth  # noqa: E402
from swift.common.middleware.s3api import s3api  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.mem_server import ObjectController  # noqa: E402
from swift.proxy.server import Application  # noqa: E402

DEVICE = "memory"
PARTITION_POWER = 1
PATIENT = {"conn_timeout": "20", "node_timeout": "30", "error_suppression_limit": "1000000"}
"""On a busy machine Swift would else give its only device up for a minute, and say that nothing is there."""
SERVERS = {"account": AccountController, "container": ContainerController, "object": ObjectController}


def serve(folder: Path, port: int, key: str, secret: str) -> None:
    """Serves until it is ended."""
    utils.HASH_PATH_SUFFIX = b"tests"
    (folder / DEVICE).mkdir(parents=True, exist_ok=True)
    conf = {"devices": str(folder), "swift_dir": str(folder), "mount_check": "false"}
    for name, controller in SERVERS.items():
        listener = eventlet.listen(("127.0.0.1", 0))
        _save_ring(folder / f"{name}.ring.gz", listener.getsockname()[1])
        eventlet.spawn(wsgi.server, listener, controller(conf), log_output=False)
    wsgi.server(eventlet.listen(("127.0.0.1", port), backlog=256), _proxy(conf, key, secret), log_output=False)


def _save_ring(path: Path, port: int) -> None:
    builder = RingBuilder(PARTITION_POWER, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": DEVICE, "weight": 1})
    builder.rebalance()
    builder.get_ring().save(str(path))


def _proxy(conf: dict[str, str], key: str, secret: str) -> object:
    """The same middlewares in the same order as in a cluster's configuration."""
    app = Application(conf | PATIENT | {"account_autocreate": "true"})
    app = slo.filter_factory({})(app)
    app = tempauth.filter_factory({}, **{f"user_{key.replace(':', '_')}": f"{secret} .admin"})(app)
    app = s3api.filter_factory({}, location="us-east-1", auth_pipeline_check="false")(app)
    return catch_errors.filter_factory({})(app)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
