"""The documentation of the settings equals the settings."""

import re
from pathlib import Path

import pytest

from api.cli.main import main
from config.settings import Settings

ROOT = Path(__file__).parents[2]


def printed(capsys: pytest.CaptureFixture[str], form: str) -> str:
    """What `darkroom settings` prints in that form."""
    assert main(["settings", form]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("file", "form"), [("docs/configuration.md", "--markdown"), (".env.example", "--env")])
def test_a_page_of_the_settings_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], file: str, form: str
) -> None:
    """After a change of a setting: `darkroom settings --markdown > docs/configuration.md`, `--env > .env.example`."""
    assert (ROOT / file).read_text() == printed(capsys, form)


@pytest.mark.parametrize("form", ["--markdown", "--env"])
def test_every_setting_is_in_it_once(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """None is forgotten by the generator."""
    named = re.findall(r"^(?:\| `|#)DARKROOM_([A-Z0-9_]+)", printed(capsys, form).split("\n# With `docker")[0], re.M)
    assert [name.lower() for name in named] == list(Settings.model_fields)


def test_the_example_environment_is_the_defaults_when_it_is_uncommented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that copying it changes nothing."""
    lines = printed(capsys, "--env").split("\n# user:password")[0]
    (tmp_path / "env").write_text(re.sub(r"^#(DARKROOM_)", r"\1", lines, flags=re.M))
    assert Settings(_env_file=tmp_path / "env") == Settings(_env_file=None)  # type: ignore[call-arg]


def test_every_test_that_the_reliability_page_names_exists() -> None:
    """A promise's proof that was renamed or removed fails here."""
    named = re.findall(r"`([a-z0-9_]+/test_\w+\.py)::(test_\w+)`", (ROOT / "docs/reliability.md").read_text())
    assert len(named) > 40
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / "tests" / file).read_text()]
    assert missing == []
