"""The faults that `make mutants` plants in Lua scripts are exact: one a time, never in a comment or a text."""

from tests.mutants.lua import mutants

SCRIPT = """-- 1 == 2 and true
local a = 'x == 1 -- no'
if a == 1 and not b then redis.call('ZADD', 'due', 'LT', now - 2, id) end
"""


def test_each_fault_is_one_change_of_one_line() -> None:
    """Everything else stands as it was."""
    for mutant in mutants(SCRIPT):
        lines = zip(SCRIPT.splitlines(), mutant.script.splitlines(), strict=True)
        assert [number for number, (old, new) in enumerate(lines, 1) if old != new] == [mutant.line]


def test_operators_constants_conditions_options_and_statements_are_changed() -> None:
    """And nothing in a comment or a text."""
    assert [each.becomes for each in mutants(SCRIPT)] == [
        "if a ~= 1 and not b then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "if a == (1 + 1) and not b then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "if a == 1 or not b then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "if a == 1 and  b then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "if a == 1 and not b then redis.call('ZADD', 'due', 'LT', now + 2, id) end",
        "if a == 1 and not b then redis.call('ZADD', 'due', 'LT', now - (2 + 1), id) end",
        "if a == 1 and not b then redis.call('ZADD', 'due', now - 2, id) end",
        "if true then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "if false then redis.call('ZADD', 'due', 'LT', now - 2, id) end",
        "",
    ]
