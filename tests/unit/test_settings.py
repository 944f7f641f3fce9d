"""The configuration: read from the environment, frozen, and refused in one sentence that repeats no value."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr, ValidationError

from config.settings import Settings, load_settings
from worker.network.addresses import host_allowed


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No `.env` of whoever runs the tests, and no settings of another test."""
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_a_setting_is_read_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the prefix, and no other name."""
    monkeypatch.setenv("DARKROOM_PORT", "9000")
    monkeypatch.setenv("PORT", "1")
    assert load_settings().port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PUBLIC_URL", "darkroom.example"),
        ("UPSTREAM_URL", "ftp://modelslab.com"),
        ("IMAGES_URL", "/data/images"),
        ("IMAGES_URL", "s3:////"),
        ("IMAGES_URL", "s3:///prefix"),
        ("REDIS_URL", "canary-password@redis"),
        ("REDIS_URL", "amqp://canary-password@redis"),
        ("REDIS_URL", "redis://:canary-password@redis:port"),
        ("REDIS_URL", "redis://:canary/password@redis"),
        ("DEADLINE_SECONDS", "0"),
        ("UPSTREAM_TIMEOUT_SECONDS", "nan"),
        ("LOG_FORMAT", "xml"),
        ("ALLOW_PRIVATE_ADDRESSES", "perhaps"),
    ],
)
def test_a_value_that_is_not_usable_ends_the_process_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """It names the setting and does not repeat the value, which may be a secret in the wrong place."""
    monkeypatch.setenv(f"DARKROOM_{name}", value)
    with pytest.raises(SystemExit) as ended:
        load_settings()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"darkroom: DARKROOM_{name} is not usable: ")
    assert said.count("\n") == 1
    assert value not in said
    assert "canary" not in said


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://127.0.0.1:6379/0",
        "rediss://user:p%40ss@cache.example:6380/1?ssl_cert_reqs=required",
        "redis://:secret@[::1]:6379/0",
    ],
)
def test_the_addresses_of_redis_that_people_use_are_taken(url: str) -> None:
    """With a user, a password, TLS options, a number of a database."""
    assert Settings(_env_file=None, redis_url=SecretStr(url)).redis_url.get_secret_value() == url


def test_settings_do_not_change_once_they_are_read() -> None:
    """What a process started with is what it runs with."""
    settings = Settings(_env_file=None)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_hosts_are_a_comma_list_and_case_does_not_count() -> None:
    """With blanks where people put them."""
    settings = Settings(_env_file=None, image_hosts=" CDN.example , *.r2.dev,")  # type: ignore[arg-type]
    assert settings.image_hosts == ("cdn.example", "*.r2.dev")


def test_a_second_signing_key_rotates() -> None:
    """`old,new`: the last one signs, both verify."""
    assert Settings(_env_file=None, secret=SecretStr("old, new")).secrets == (b"old", b"new")


def test_no_secret_is_in_what_a_debugger_or_a_traceback_shows() -> None:
    """Every field that holds one is a SecretStr."""
    secrets = ("redis_url", "api_keys", "secret", "webhook_secret", "upstream_key", "sandbox_key", "key")
    values = {name: f"redis://:canary-{name}@redis" for name in secrets}
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
    assert "canary" not in repr(settings) + str(settings) + repr(settings.model_dump())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for(name: str) -> None:
    """The description is the documentation."""
    assert Settings.model_fields[name].description


@pytest.mark.parametrize("text", ["10.0.0.2", "10.0.0.2:5353", "::1", "[::1]:53", " 10.0.0.2 , 10.0.0.3:54"])
def test_name_servers_are_numeric_addresses(text: str) -> None:
    settings = Settings(_env_file=None, dns_servers=text)  # type: ignore[arg-type]
    assert settings.dns_servers == tuple(part.strip() for part in text.split(","))


@pytest.mark.parametrize("text", ["dns.example", "10.0.0.2:0", "10.0.0.2:x", "[::1", "10.0.0"])
def test_another_name_server_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, dns_servers=text)  # type: ignore[arg-type]


def test_images_come_from_the_providers_own_hosts_by_default() -> None:
    """Not from everybody's bucket at the same cloud."""
    hosts = Settings(_env_file=None).image_hosts
    assert host_allowed("assets.modelslab.com", hosts)
    assert host_allowed("pub-3626123a908346a7a8be8d9295f44e26.r2.dev", hosts)
    assert not host_allowed("pub-00000000000000000000000000000000.r2.dev", hosts)
