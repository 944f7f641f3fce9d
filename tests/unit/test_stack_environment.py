"""What each part of a stack is given: what it uses, and no secret of another's."""

import pytest
from pydantic import SecretStr

from api.cli.stack.environment import SECRETS, USED_BY, environment_of
from config.settings import Settings

EVERYTHING = {
    **{name: f"{name}-value" for name in SECRETS},
    "DARKROOM_REDIS_URL": "redis://", "DARKROOM_SANDBOX_PORT": "1", "DARKROOM_PORT": "2", "FLOWER_BASIC_AUTH": "u:p",
    "AWS_SECRET_ACCESS_KEY": "aws", "PATH": "/bin", "HOME": "/root",
}  # fmt: skip


@pytest.mark.parametrize("part", USED_BY)
def test_a_secret_is_given_to_those_who_use_it(part: str) -> None:
    given = environment_of(part, EVERYTHING)
    for name, parts in SECRETS.items():
        assert (given.get(name, "") != "") == (part in parts), name
    assert given["PATH"] == "/bin"


def test_flower_and_redis_know_nothing_of_our_settings() -> None:
    assert {name for name, value in environment_of("flower", EVERYTHING).items() if value} == {
        "DARKROOM_REDIS_URL", "FLOWER_BASIC_AUTH", "PATH", "HOME",
    }  # fmt: skip
    assert environment_of("redis", EVERYTHING).keys() == {"PATH", "HOME"}


def test_no_secret_is_forgotten_here() -> None:
    """A new one must be given to somebody, and to nobody else."""
    fields = Settings.model_fields.items()
    secrets = {f"DARKROOM_{name.upper()}" for name, each in fields if each.annotation is SecretStr}
    assert secrets - {"DARKROOM_REDIS_URL"} == SECRETS.keys()
