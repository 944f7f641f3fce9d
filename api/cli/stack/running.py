"""The stack that `darkroom up` runs in this folder; other verbs find it here without any setting."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.cli.stack.folder import is_locked, kept_secrets
from config.settings import Settings, load_settings

FOLDER = Path(".darkroom")


@dataclass(frozen=True)
class Running:
    """Address, key and settings of the stack. It holds secrets, so only the owner can read the file."""

    api_url: str
    redis_url: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of its processes, by the names of Settings."""


def note_running(folder: Path, running: Running) -> None:
    """Writes the file; it counts only while the folder is locked."""
    temporary = folder / "running.new"
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(vars(running)))
    temporary.replace(folder / "running.json")


def running_here(folder: Path = FOLDER) -> Running | None:
    """The stack that is running in this folder now, or None."""
    if not is_locked(folder):
        return None
    try:
        return Running(**json.loads((folder / "running.json").read_text()))
    except (FileNotFoundError, PermissionError):  # just starting, or of another user
        return None


def key_here(folder: Path = FOLDER) -> str:
    """The API key of the stack in this folder."""
    return kept_secrets(folder / "secrets.json").key


def settings_here() -> Settings:
    """The settings; if they name no Redis, those of the stack that runs in this folder."""
    settings = load_settings()
    running = None if "redis_url" in settings.model_fields_set else running_here()
    return Settings(**{"redis_url": running.redis_url} | running.settings) if running else settings
