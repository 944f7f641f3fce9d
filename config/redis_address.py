"""Parses DARKROOM_REDIS_URL once, for our own connections and for Celery's: both must use the same server.

Their libraries read addresses differently: `?db=3` works in one and not in the other, and with `rediss://` one checks
the server's certificate and the other checks nothing. So the address is parsed here, and both get the parts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

ADDRESS = re.compile(
    r"(?P<scheme>rediss?|sentinels?)://"
    r"((?P<username>[^/@:?#]*)(:(?P<password>[^/@]*))?@)?"
    r"(?P<hosts>[^/@?#]+)(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?"
)
# no `%`, no `;`, no white space: one library reads them as something else, or ends the name there
HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?")
REDIS_PORT, SENTINEL_PORT = 6379, 26379
SSL_CHOICES = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}
SSL_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")

# no message repeats a part of the address: the part that is wrong may be half a password
SHAPE = (
    "must be redis:// or rediss://, then a host, with its password percent-encoded; or sentinel:// or sentinels://, "
    "the sentinels as a comma list, and the name of the primary: sentinel://:password@host1,host2,host3/mymaster/0"
)
DATABASE = "must end with the number of a database, as in redis://host:6379/0, or without one"
OPTIONS = f"takes no options but {', '.join(SSL_OPTIONS)} (with TLS) and {', '.join(SENTINEL_OPTIONS)} (with sentinels)"
CHOICES = "takes ssl_cert_reqs as required, optional or none, and ssl_check_hostname as true or false"


@dataclass(frozen=True)
class RedisAddress:
    """The address of Redis, or of the sentinels that know it."""

    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    primary: str | None = None
    """The primary's name among the sentinels; None if the only host is Redis itself."""
    tls: Mapping[str, Any] | None = None
    """redis-py's `ssl_…` options, None without TLS."""
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def broker_url(self) -> str:
        """The address for Celery. Every sentinel carries the login, because Celery may start from any of them."""
        scheme = ("sentinel" if self.primary else "redis") + ("s" if self.tls and not self.primary else "")
        login = f"{quote(self.username or '', '')}:{quote(self.password, '')}@" if self.password else ""
        return ";".join(f"{scheme}://{login}{_bracketed(host)}:{port}/{self.database}" for host, port in self.hosts)


def parse_redis_address(url: str) -> RedisAddress:
    """The parsed address. Raises ValueError with a sentence that repeats no part of it."""
    if not (parts := ADDRESS.fullmatch(url)):
        raise ValueError(SHAPE)
    by_sentinel, with_tls = parts["scheme"].startswith("sentinel"), parts["scheme"] in ("rediss", "sentinels")
    hosts = tuple(_host(each, SENTINEL_PORT if by_sentinel else REDIS_PORT) for each in parts["hosts"].split(","))
    path = unquote(parts["path"] or "").strip("/")
    primary, _, database = path.partition("/") if by_sentinel else ("", "", path)
    if (by_sentinel and not primary) or (not by_sentinel and len(hosts) > 1):
        raise ValueError(SHAPE)
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError(DATABASE)
    options = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    if set(options) - {*(SSL_OPTIONS if with_tls else ()), *(SENTINEL_OPTIONS if by_sentinel else ())}:
        raise ValueError(OPTIONS)
    return RedisAddress(
        hosts,
        int(database or 0),
        unquote(parts["username"] or "") or None,
        unquote(parts["password"] or "") or None,
        primary or None,
        _tls(options) if with_tls else None,
        {name.removeprefix("sentinel_"): options[name] for name in SENTINEL_OPTIONS if name in options},
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    host = HOST.fullmatch(text.strip())
    if not host or int(host["port"] or default_port) > 65535:
        raise ValueError(SHAPE)
    return host["name"].strip("[]"), int(host["port"] or default_port)


def _tls(options: dict[str, str]) -> dict[str, Any]:
    """redis-py's TLS options. Certificate and name are checked unless the address says otherwise."""
    if any(name in options and options[name] not in allowed for name, allowed in SSL_CHOICES.items()):
        raise ValueError(CHOICES)
    chosen: dict[str, Any] = {"ssl_cert_reqs": "required"} | {
        name: value for name, value in options.items() if name in SSL_OPTIONS
    }
    checked = chosen["ssl_cert_reqs"] != "none" and chosen.get("ssl_check_hostname") != "false"
    return chosen | {"ssl_check_hostname": checked}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
