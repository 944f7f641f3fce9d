"""Which key may buy and which may ask: never another account, never another server."""

from config.settings import Settings
from worker.upstream.accounts import Accounts

ONE, TWO = "https://one.example/api", "https://two.example/api"


def pool(*pairs: str) -> Accounts:
    return Accounts(Settings(_env_file=None, upstream_key=",".join(pairs)))


def test_a_key_that_this_process_never_had_buys_nothing() -> None:
    """There is no stand-in for a submit: its place, and its bill, are another's."""
    here = pool(f"{ONE}|new")
    assert here.account(pool(f"{ONE}|old").used[0]) is None
    assert here.account(here.used[0]) is not None


def test_a_rotated_key_of_the_same_server_asks_for_what_the_old_one_submitted() -> None:
    """The request id means the same image there."""
    before, after = pool(f"{ONE}|old"), pool(f"{TWO}|other", f"{ONE}|new")
    old = before.account(before.used[0])
    assert old is not None
    stand_in = after.account_to_ask(old.name, old.server)
    assert stand_in is not None
    assert (stand_in.base_url, stand_in.key) == (ONE, "new")


def test_nobody_is_asked_on_another_server() -> None:
    """There the same id is somebody else's image."""
    before, after = pool(f"{ONE}|old"), pool(f"{TWO}|new")
    old = before.account(before.used[0])
    assert old is not None
    assert after.account_to_ask(old.name, old.server) is None
    assert after.account_to_ask(old.name, None) is None, "an attempt of an older version names no server"


def test_a_known_key_is_asked_before_any_other_of_its_server() -> None:
    """Two accounts of one server: each asks for its own."""
    here = pool(f"{ONE}|first", f"{ONE}|second")
    for name in here.used:
        key = here.account(name)
        assert key is not None
        assert here.account_to_ask(name, key.server) is key


def test_two_spellings_of_one_server_are_one_server() -> None:
    """A host in capitals, the scheme's own port, a slash at the end: the same request ids."""
    spellings = ("https://one.example/api", "https://ONE.example/api/", "https://one.example:443/api")
    here = pool(*(f"{each}|key-{number}" for number, each in enumerate(spellings)))
    keys = [here.account(name) for name in here.used]
    assert len({key.server for key in keys if key}) == 1
    others = pool("https://one.example:8443/api|a", "http://one.example/api|b", "https://one.example/other|c")
    assert len({key.server for key in map(others.account, others.used) if key}) == 3
