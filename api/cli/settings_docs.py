"""`darkroom settings`: prints every setting as a table or as an environment file, made from the class Settings."""

import argparse

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config.settings import Settings

HEAD = """# Configuration

Environment variables, or lines of `.env` in the working directory; the environment wins. A value that is not usable
stops the process at start with one sentence. This page is made by `darkroom settings --markdown`.

"""
FOOT = """
Read from the environment by others than Darkroom: `FLOWER_BASIC_AUTH` (`user:password`) and the passwords of Redis'
users, needed by `docker compose` ([deployment.md](deployment.md)),
`FLOWER_PORT` (for `make up`), and the usual `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` for `s3://`.
"""
ENVIRONMENT_HEAD = """# Made by `darkroom settings --env`. Copy to .env and uncomment what you set.
# For docker compose, `make env` writes a .env with fresh secrets.
"""
ENVIRONMENT_FOOT = """
# With `docker compose` needed, each made by `openssl rand -hex 32` or `make env`: passwords of Redis' users
#DARKROOM_REDIS_API_PASSWORD=
#DARKROOM_REDIS_WORKER_PASSWORD=
#DARKROOM_REDIS_FLOWER_PASSWORD=
#DARKROOM_REDIS_OPERATOR_PASSWORD=

# user:password of Flower under docker compose
#FLOWER_BASIC_AUTH=

# With `docker compose --profile sandbox up`, no account and no spend, these in place of the provider's:
#DARKROOM_UPSTREAM_URL=http://sandbox:8001/api/v1/enterprise
#DARKROOM_UPSTREAM_KEY=sandbox
#DARKROOM_PUBLIC_URL=http://api:8000
#DARKROOM_ALLOW_PRIVATE_ADDRESSES=true
#DARKROOM_IMAGE_HOSTS=sandbox
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The form: Markdown or environment file."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="as the page docs/configuration.md (the default)")
    forms.add_argument("--env", action="store_true", help="as the file .env.example")


def run(arguments: argparse.Namespace) -> int:
    """Prints them."""
    print(environment() if arguments.env else markdown(), end="")
    return 0


def markdown() -> str:
    """The page docs/configuration.md."""
    rows = ""
    for name in Settings.model_fields:
        default, words = _default(name), _text(name).replace("|", "\\|")
        rows += f"| `{_name(name)}` | {f'`{default}`' if default else '–'} | {words} |\n"
    return f"{HEAD}| name | default | meaning |\n|---|---|---|\n{rows}{FOOT}"


def environment() -> str:
    """.env.example."""
    lines = (f"\n# {_text(name)}\n#{_name(name)}={_default(name)}\n" for name in Settings.model_fields)
    return ENVIRONMENT_HEAD + "".join(lines) + ENVIRONMENT_FOOT


def _name(field: str) -> str:
    return f"DARKROOM_{field.upper()}"


def _text(field: str) -> str:
    return Settings.model_fields[field].description or ""


def _default(field: str) -> str:
    default = Settings.model_fields[field].default
    if default is PydanticUndefined:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, dict):
        return ",".join(f"{name}:{value}" for name, value in default.items())
    return str(default).lower() if isinstance(default, bool) else str(default)
