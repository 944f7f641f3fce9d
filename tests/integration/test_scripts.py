"""Redis takes every script as it is put together, and knows it by the name that Python gives it."""

from pathlib import Path

from redis import Redis

from tests.support.scripts import every_script

LUA = Path("worker", "store", "lua")


def test_redis_compiles_every_script(redis: Redis) -> None:
    """Also one that no test runs."""
    shas = [str(redis.script_load(each.source)) for each in every_script()]
    assert shas == [each.sha for each in every_script()]


def test_every_file_is_a_script_or_included_in_one() -> None:
    """None is left over."""
    used = {line.file for each in every_script() for line in each.lines}
    assert used == {str(file.relative_to(LUA)) for file in LUA.rglob("*.lua")}
