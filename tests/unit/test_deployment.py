"""What docker-compose.yml gives to whom: each service its own secrets, its own user of Redis, and limits."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from config.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"api", "worker", "operator"}
"""Services that are Darkroom with its settings."""
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\b")

HOLDERS = {
    "DARKROOM_SECRET": OURS,
    "DARKROOM_WEBHOOK_SECRET": OURS,
    "DARKROOM_API_KEYS": {"api"},
    "DARKROOM_METRICS_TOKEN": {"api"},
    "DARKROOM_UPSTREAM_KEY": {"worker", "operator"},
    "AWS_SECRET_ACCESS_KEY": OURS,
    "FLOWER_BASIC_AUTH": {"flower"},
    "DARKROOM_KEY": set(),
    "DARKROOM_SANDBOX_KEY": set(),
    "DARKROOM_REDIS_URL": OURS | {"flower"},
}
"""Who is given which secret."""


@pytest.mark.parametrize("secret", HOLDERS)
def test_a_secret_is_given_to_those_who_use_it(secret: str) -> None:
    """The API asks no upstream, the worker takes no API key, Flower needs nothing of ours."""
    assert {name for name, each in SERVICES.items() if secret in each.get("environment", {})} == HOLDERS[secret]


def test_no_secret_is_forgotten_here() -> None:
    """A new one must be given to somebody, and to nobody else."""
    secrets = {f"DARKROOM_{name.upper()}" for name, field in Settings.model_fields.items()
               if field.annotation is SecretStr}  # fmt: skip
    assert secrets <= set(HOLDERS)
    assert not [name for name, each in SERVICES.items() if "env_file" in each], "a whole .env is every secret"


@pytest.mark.parametrize("service", sorted(OURS))
def test_every_other_setting_of_env_arrives(service: str) -> None:
    """A setting that compose does not pass on would be ignored without a word."""
    passed = set(SERVICES[service]["environment"])
    local = {"host", "port", "redis_url", "crash_at"}
    expected = {
        f"DARKROOM_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if name not in local and not name.startswith("sandbox_") and field.annotation is not SecretStr
    }
    assert not expected - passed, "add it to x-settings in docker-compose.yml"


def test_every_role_has_its_own_user_of_redis() -> None:
    """By name and password; no password is part of a command line."""
    for role in (*OURS, "flower"):
        login = f"redis://{role}:${{DARKROOM_REDIS_{role.upper()}_PASSWORD}}@redis:6379/0"
        assert SERVICES[role]["environment"]["DARKROOM_REDIS_URL"] == login
    words = [str(each.get(key, "")) for each in SERVICES.values() for key in ("command", "entrypoint", "healthcheck")]
    assert not [each for each in words if "PASSWORD" in each or "BASIC_AUTH" in each]


def test_every_service_has_limits_and_little_power() -> None:
    """Memory, processes, CPU (Redis' is not limited: everything waits for it), a root that cannot be written."""
    for name, each in SERVICES.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert {"mem_limit", "pids_limit"} <= set(each), name
        assert "cpus" in each or name == "redis", name


def test_every_image_is_named_by_its_digest() -> None:
    """A tag may be another image tomorrow. The build's is the same in both files."""
    images = [each["image"] for each in SERVICES.values() if "build" not in each]
    built = {each["build"]["args"]["PYTHON_IMAGE"] for each in SERVICES.values() if "build" in each}
    assert not [each for each in (*images, *built) if not DIGEST.search(each)]
    dockerfile = (ROOT / "Dockerfile").read_text()
    named = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    assert named
    assert built == {f"${{DARKROOM_PYTHON_IMAGE:-{named[1]}}}"}
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"$PYTHON_IMAGE"}
    sentinel = yaml.safe_load((ROOT / "deploy" / "compose.sentinel.yml").read_text())
    assert {each["image"] for each in sentinel["services"].values() if "image" in each} == {SERVICES["redis"]["image"]}


def test_env_is_written_once_and_only_added_to(tmp_path: Path) -> None:
    """A fresh secret for each that is missing, readable for its owner only; a second run changes nothing."""
    (file := tmp_path / ".env").write_text("DARKROOM_SECRET=mine-0123456789abcdef")
    script = ["sh", str(ROOT / "deploy" / "env.sh"), "sandbox"]
    said = [subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True) for _ in range(2)]
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert needed <= set(values)
    assert values["DARKROOM_SECRET"] == "mine-0123456789abcdef"
    fresh = [values[name] for name in needed - {"DARKROOM_SECRET", "FLOWER_BASIC_AUTH"}]
    assert len(set(fresh)) == len(fresh)
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in fresh)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert said[1].stderr == ""
    assert not [each for each in fresh if each in said[0].stderr + said[0].stdout]
