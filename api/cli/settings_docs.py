"""`darkroom settings`: every setting as a table or as an environment file, made from the one class that holds them."""

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config.settings import Settings

HEAD = "# Configuration\n\nEnvironment variables, or lines of `.env`. Made by `darkroom settings --markdown`.\n\n"


def markdown() -> str:
    """docs/configuration.md."""
    rows = "\n".join(
        f"| `{_name(name)}` | {f'`{default}`' if (default := _default(name)) else '–'} | {_text(name)} |"
        for name in Settings.model_fields
    )
    return f"{HEAD}| name | default | meaning |\n|---|---|---|\n{rows}\n"


def environment() -> str:
    """.env.example."""
    lines = (f"# {_text(name)}\n#{_name(name)}={_default(name)}\n" for name in Settings.model_fields)
    return "# Made by `darkroom settings --env`. Copy to .env and uncomment what you set.\n\n" + "\n".join(lines)


def _name(field: str) -> str:
    return f"DARKROOM_{field.upper()}"


def _text(field: str) -> str:
    return (Settings.model_fields[field].description or "").replace("|", "\\|")


def _default(field: str) -> str:
    default = Settings.model_fields[field].default
    if default is PydanticUndefined:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)
