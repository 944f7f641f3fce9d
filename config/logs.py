"""What a log line looks like: one event, its facts, no secret and no prompt."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr

from config.settings import Settings

QUIET = ("httpx", "httpcore", "aiohttp", "uvicorn", "celery", "kombu", "asyncio", "urllib3", "PIL", "amqp")
TOKENS = re.compile(r"(Bearer\s+|/webhooks/modelslab/|signature=|whsec_)[\w.~+/=-]+")
"""What is secret by its shape, whoever issued it."""
SHORTEST_SECRET_CHARACTERS = 6
NOT_SECRET = {"sandbox"}
"""The sandbox's own key by default; taking it out would take the word out of every line."""
MASK = "***"

Event = MutableMapping[str, Any]


def configure_logs(settings: Settings, process: str) -> None:
    """Routes structlog and the standard library into one stream on stderr, as JSON or for a terminal."""
    as_console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_process(process),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redactor(settings),
    ]
    renderer = structlog.dev.ConsoleRenderer() if as_console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)  # a failed task has its own line already
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class Redactor:
    """Takes known secrets, tokens and signatures out of every text of a line, however deep it is in there."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = sorted(_secrets_in(settings), key=len, reverse=True)

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        for name, value in event.items():
            if not name.startswith("_"):  # structlog's own
                event[name] = self._clean(value)
        return event

    def redact(self, text: str) -> str:
        """The text without what must not be in a log."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return TOKENS.sub(rf"\1{MASK}", text)

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {self._clean(key): self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(inner) for inner in value]
        # JSONRenderer writes what it does not know as its repr, and that may hold anything
        return value if isinstance(value, bool | int | float | None) else self.redact(repr(value))


def _name_process(process: str) -> structlog.typing.Processor:
    """Not a context variable: those do not reach other threads."""

    def name_process(_logger: object, _method: str, event: Event) -> Event:
        event["process"] = process
        return event

    return name_process


def _secrets_in(settings: Settings) -> set[str]:
    """The secret part of each secret setting: tenants, hosts and addresses are none."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            for part in value.get_secret_value().split(","):
                found |= _secrets_of(name, part.strip())
    return {secret for secret in found - NOT_SECRET if len(secret) >= SHORTEST_SECRET_CHARACTERS}


def _secrets_of(name: str, part: str) -> set[str]:
    if name == "api_keys":
        return {part.partition(":")[2]}  # tenant:key
    if "://" not in part:
        return {part, part.removeprefix("whsec_")}
    address, _, key = part.partition("|")  # scheme://user:password@host, or address|key
    password = urlsplit(address).password or ""
    return {password, unquote(password), key}
