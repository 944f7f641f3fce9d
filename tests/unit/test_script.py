"""Lua scripts are put together right, and what does not fit together is refused when it is imported."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from worker.store.assembly import Assembly, ScriptError
from worker.store.reply import Reply
from worker.store.signature import Arguments, AsText


class Group(NamedTuple):
    """Two arguments that go together."""

    template: bytes
    lease_ms: int


class Row(NamedTuple):
    """One of many."""

    id: AsText[int]
    rank: float
    late: bool


class Told(NamedTuple):
    """A reply of all kinds."""

    now: int
    verdict: Literal["yes", "no"]
    wait: int | None
    fields: dict[str, bytes]
    ids: list[str] = []
    used: int = 7
    best: "Best | None" = None
    rows: list[Row] = []


class Best(NamedTuple):
    """A part with names of its own, and in it many more."""

    rank: int
    others: tuple[Row, ...]


class Short(NamedTuple):
    """A reply of which only one name is needed."""

    done: bool
    best: Best | None = None


def example(*, group: Group, name: str, limit: int | None, is_new: bool = False, rows: Sequence[Row]) -> Told: ...  # type: ignore[empty-body]


def write(folder: Path, **scripts: str) -> Assembly:
    """A folder of scripts; those whose name begins with `in_` are there to be included."""
    (folder / "includes").mkdir()
    for name, text in ({"in_clock": "local now = 1\n"} | scripts).items():
        included = folder / "includes" / f"{name.removeprefix('in_')}.lua"
        (included if name.startswith("in_") else folder / f"{name}.lua").write_text(text)
    return Assembly(folder)


def put_together(assembly: Assembly, reply: Any = None) -> list[str]:
    """The script `it`, without its first line."""
    expand = reply and Reply("it", reply).expand
    return [line.text for line in assembly.lines("it", "none", expand=expand)][1:]


def test_what_is_included_comes_first_and_once(tmp_path: Path) -> None:
    """Also where two that are included need the same; the clock is the first of all."""
    include_c = "-- @include c\n"
    folder = write(
        tmp_path, it="-- @include a\n-- @include b\nit\n", in_a=f"{include_c}a\n", in_b=f"{include_c}b\n", in_c="c\n"
    )
    code = [line for line in put_together(folder) if not line.startswith("--")]
    assert code == ["local now = 1", "c", "a", "b", "it"]


def test_each_line_says_where_it_is_from(tmp_path: Path) -> None:
    """So that a complaint about the whole names a line of a file."""
    lines = write(tmp_path, it="-- @include a\nit\n", in_a="a\n").lines("it", "none", ("local x = 1",))
    assert [f"{line.file}:{line.number}" for line in lines] == [
        *("it.lua:0", "includes/clock.lua:1", "includes/a.lua:1", "it.lua:0", "it.lua:1", "it.lua:2")
    ]


@pytest.mark.parametrize(
    ("scripts", "complaint"),
    [
        ({"it": "-- @include a\n", "in_a": "-- @include b\n", "in_b": "-- @include a\n"}, "a includes b includes a"),
        ({"it": "-- @include a\n"}, "there is no lua/includes/a.lua"),
        ({"it": "local x = 1\nlocal key = KEY.jobb .. id\n"}, "it.lua:2: KEY.jobb is not in"),
        ({"it": "return reply{done = 1, dome = 2}\n"}, "it.lua:1: unknown or missing in the reply: dome"),
        ({"it": "\nreturn reply{best = {rank = 1}}\n"}, "it.lua:2: unknown or missing in the reply: done"),
        ({"it": "return reply{done = 1, best = {rang = 1}}\n"}, "unknown or missing in the reply: others, rang, rank"),
        ({"it": "return reply{done = 1, 2}\n"}, "unknown or missing in the reply"),
        ({"it": "return reply{done = 1\n"}, "a table that does not end"),
        ({"it": "return {now, 1}\n"}, "reply by name"),
    ],
)
def test_a_script_that_does_not_fit_together_is_refused(
    tmp_path: Path, scripts: dict[str, str], complaint: str
) -> None:
    """With the place and the name."""
    with pytest.raises(ScriptError, match=complaint):
        put_together(write(tmp_path, **scripts), Short)


def test_a_reply_by_name_becomes_an_array(tmp_path: Path) -> None:
    """Whatever stands in its values; and the lines after it keep their numbers."""
    script = "return reply{\n  done = f({x = 1}, 'more, other = 2'), -- other = 3\n}\nlast\n"
    code = put_together(write(tmp_path, it=script), Short)
    assert code[1:] == ["return {now, f({x = 1}, 'more, other = 2') or false, false}", "", "", "last"]


def test_values_with_names_of_their_own_become_arrays_too(tmp_path: Path) -> None:
    """Written out in place, or taken from a table that is made elsewhere."""
    script = "return reply{done = true, best = {rank = 5, others = found}}\nreturn reply{done = 0, best = best}\n"
    row = (f"reply_others[at - {2 - at}] = row.{field} or false" for at, field in enumerate(Row._fields))
    rows = f"do at = at * 3 {' '.join(row)} end"
    literal, named = put_together(write(tmp_path, it=script), Short)[1:]
    assert literal.split(" return ") == [
        f"local reply_others = {{}} for at, row in ipairs(found or {{}}) {rows}",
        "{now, true, {5, reply_others}}",
    ]
    assert named.split(" return ") == [
        f"local reply_best = best {literal.split(rows)[0].replace('found', 'reply_best and reply_best.others')}{rows}",
        "{now, 0, reply_best and {reply_best.rank or false, reply_others} or false}",
    ]


def test_a_key_family_becomes_its_text_but_not_in_a_comment(tmp_path: Path) -> None:
    """At no cost in Redis."""
    [_, code] = put_together(write(tmp_path, it="local key = KEY.job .. id -- KEY.none\n"))
    assert code == "local key = 'job:' .. id -- KEY.none"


def test_arguments_are_locals_of_the_same_names() -> None:
    """Of the right types, groups without their own name, rows as a list of tables."""
    assert [line.partition(" -- ")[0] for line in Arguments(example).locals] == [
        "local template = ARGV[1]",
        "local lease_ms = ARGV[2] + 0",
        "local name = ARGV[3]",
        "local limit = tonumber(ARGV[4])",
        "local is_new = ARGV[5] == '1'",
        "local rows = {}",
        "for at = 6, #ARGV, 3 do",
        "  rows[#rows + 1] = {",
        "    id = ARGV[at + 0],",
        "    rank = ARGV[at + 1] + 0,",
        "    late = ARGV[at + 2] == '1',",
        "  }",
        "end",
    ]


def test_words_are_in_the_order_of_the_signature() -> None:
    """However they were named; false and None are empty."""
    rows = [Row(1, 0.5, late=True), Row(2, 1, late=False)]
    words = Arguments(example).words(rows=rows, name="n", limit=None, group=Group(b"t", 9))
    assert words == (b"t", 9, "n", "", "", 1, 0.5, "1", 2, 1, "")


@pytest.mark.parametrize("named", [{"name": "n"}, {"group": 1, "name": 1, "limit": 1, "rows": (), "nane": 1}])
def test_a_wrong_or_missing_name_is_refused(named: dict[str, Any]) -> None:
    """For whoever calls without the type checker."""
    with pytest.raises(TypeError, match=r"example\(\) (missing|got an unexpected)"):
        Arguments(example).words(**named)


def nothing() -> None: ...


def test_a_script_may_need_nothing() -> None:
    """Then it is told nothing."""
    assert (Arguments(nothing).words(), Arguments(nothing).locals) == ((), ())


def by_position(name: str) -> None: ...
def not_the_last(*, ids: Sequence[str], name: str) -> None: ...
def taken(*, now: int) -> None: ...


@pytest.mark.parametrize("function", [by_position, not_the_last, taken])
def test_a_signature_that_cannot_be_is_refused(function: Callable[..., None]) -> None:
    """When it is imported."""
    with pytest.raises(ScriptError, match=function.__name__):
        Arguments(function)


def test_a_reply_is_read_by_name() -> None:
    """What was left out has its default, or is None where it may be."""
    reader = Reply("example", Told)
    flat = [b"doc", b"{}", b"version", b"1"]
    rows = [b"3", b"1.5", 1, 4, b"2", None]
    assert reader.read([5, b"yes", b"12", flat, [b"a", b"b"], b"3", [8, rows], rows]) == Told(
        *(5, "yes", 12, {"doc": b"{}", "version": b"1"}, ["a", "b"], 3),
        Best(8, (Row(3, 1.5, late=True), Row(4, 2, late=False))),
        [Row(3, 1.5, late=True), Row(4, 2, late=False)],
    )
    assert reader.read([5, b"no", None, [], None, None, None, []]) == Told(5, "no", None, {})
    assert Reply("example", type(None)).read([5]) is None
    with pytest.raises(ScriptError, match="NamedTuple"):
        Reply("example", int)
