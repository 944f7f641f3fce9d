"""What an address in a setting may look like."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

PROVIDERS_IMAGE_HOSTS = (
    "modelslab.com",
    "*.modelslab.com",
    "*.modelslab.ai",
    "*.stablediffusionapi.com",
    # the two buckets that the provider's answers and its documentation name
    "pub-3626123a908346a7a8be8d9295f44e26.r2.dev",
    "pub-8b49af329fae499aa563997f5d4068a4.r2.dev",
)
"""Hosts of the provider's own, and no wider."""
SERVER = re.compile(r"\[(?P<v6>[^\]]+)\](:(?P<port6>\d+))?|(?P<v4>[^:]+):(?P<port4>\d+)|(?P<alone>.+)")


def is_web_address(text: str) -> bool:
    """Whether it is http:// or https:// with a host, and without a user name."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def is_name_server(text: str) -> bool:
    """Whether it is a numeric address, or one with a port: `10.0.0.2`, `10.0.0.2:5353`, `::1`, `[::1]:5353`."""
    found = SERVER.fullmatch(text)
    if not found:
        return False
    try:
        ip_address(found["v6"] or found["v4"] or found["alone"])
    except ValueError:
        return False
    return 0 < int(found["port6"] or found["port4"] or "53") < 65536
