"""What a log line looks like: one event, its facts, no secret and no prompt."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from pydantic import SecretStr

from config.settings import Settings

QUIET = ("httpx", "httpcore", "aiohttp", "uvicorn", "celery", "kombu", "asyncio", "urllib3", "PIL", "amqp")
TOKENS = re.compile(r"(Bearer\s+|/webhooks/modelslab/|signature=|whsec_)[\w.~+/=-]+")
SHORTEST_SECRET = 6

Event = MutableMapping[str, Any]


def configure_logs(settings: Settings, process: str) -> None:
    """Routes structlog and the standard library into one stream on stderr, as JSON or for a terminal."""
    as_console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
    structlog.contextvars.bind_contextvars(process=process)


class Redactor:
    """Takes known secrets, tokens and signatures out of every text of a line."""

    def __init__(self, settings: Settings) -> None:
        values = (getattr(settings, name) for name in type(settings).model_fields)
        texts = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        parts = {part for text in texts for part in re.split(r"[,|:@/\n]", text) if len(part) >= SHORTEST_SECRET}
        self._secrets = sorted(parts - {"127.0.0.1", "localhost", "sandbox"}, key=len, reverse=True)

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        for name, value in event.items():
            if isinstance(value, str):
                event[name] = self.redact(value)
        return event

    def redact(self, text: str) -> str:
        """The text without what must not be in a log."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return TOKENS.sub(r"\1***", text)
