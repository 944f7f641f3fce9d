"""Log lines: one event each, with its facts, without secrets and prompts."""

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
TOKENS = re.compile(r"(Bearer\s+|/webhooks/[a-z0-9]+/|signature=|whsec_)[\w.~+/=-]+")
"""Texts that are secret because of their form: tokens, signatures, webhook secrets."""
SHORTEST_SECRET_CHARACTERS = 6
NOT_SECRET = {"sandbox"}
"""The default key of the sandbox. Removing it would remove the word "sandbox" from every line."""
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
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)  # a failed task already has a line of ours
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class Redactor:
    """Removes known secrets, tokens and signatures from every text in a line, at any depth."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = sorted(_secrets_in(settings), key=len, reverse=True)

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        for name, value in event.items():
            if not name.startswith("_"):  # structlog's own
                event[name] = self._clean(value)
        return event

    def redact(self, text: str) -> str:
        """The text without secrets."""
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
        # JSONRenderer writes an unknown object as its repr, which may contain anything
        return value if isinstance(value, bool | int | float | None) else self.redact(repr(value))


def _name_process(process: str) -> structlog.typing.Processor:
    """Adds the process's name; no context variable, because those do not reach other threads."""

    def name_process(_logger: object, _method: str, event: Event) -> Event:
        event["process"] = process
        return event

    return name_process


def _secrets_in(settings: Settings) -> set[str]:
    """The secret part of each secret setting, without tenants, hosts and addresses."""
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
