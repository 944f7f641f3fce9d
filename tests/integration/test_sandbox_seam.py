"""The provider's own account of itself, against its sandbox: every call of the seam, and what it says it cannot do."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.processes import until
from tests.support.sandbox import CalledBack, called_back, running_sandbox
from tests.support.sandbox_calls import HTTP, bill
from worker.job.answer import Answer, NotTaken, Outcome, Reason, Taken
from worker.upstream.accounts import Account
from worker.upstream.chosen import PROVIDER
from worker.upstream.provider import Call

NO_RECEIVER = "http://127.0.0.1:1/nobody"


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """The sandbox's account, at the provider's own path."""
    with running_sandbox() as url:
        yield Account("key-0", f"{url}{PROVIDER.base_path}", "sandbox")


@pytest.fixture
def receiver() -> Iterator[CalledBack]:
    """Where callbacks go."""
    with called_back() as receiver:
        yield receiver


def post(call: Call) -> httpx.Response:
    return HTTP.post(call.url, content=call.body, headers={"content-type": "application/json"})


def submit(account: Account, track_id: str, callback_url: str = NO_RECEIVER, prompt: str = "a quay") -> Outcome:
    call = PROVIDER.submit_call(account, {"model_id": "m", "prompt": prompt, "width": 64}, track_id, callback_url)
    answer = post(call)
    return PROVIDER.judge(answer.status_code, answer.headers, answer.content, [])


def fetch(account: Account, request_id: str) -> Answer:
    return PROVIDER.parse(post(PROVIDER.fetch_call(account, request_id)).content)


def taken(outcome: Outcome) -> str:
    """The provider's id of a request that it took."""
    assert isinstance(outcome, Taken)
    assert outcome.answer.request_id
    return outcome.answer.request_id


def posts(account: Account, track_id: str) -> int:
    return bill(account.base_url.removesuffix(PROVIDER.base_path), track_id)["taken"]


def test_what_is_submitted_can_be_asked_for_and_is_told(account: Account, receiver: CalledBack) -> None:
    """By its own id; the callback carries ours and the same addresses."""
    request_id = taken(submit(account, "t-told", receiver.url))
    told = PROVIDER.parse(json.dumps(receiver.next()).encode())
    assert (told.kind, told.request_id, told.track_id) == ("success", request_id, "t-told")
    assert fetch(account, request_id).links == told.links
    assert HTTP.get(told.links[0]).status_code == 200
    assert not PROVIDER.serves_text(told.links[0])


def test_the_greeting_costs_nothing_and_fails_with_a_wrong_key(account: Account) -> None:
    """What the doctor asks."""
    before = bill(account.base_url.removesuffix(PROVIDER.base_path))["posts"]
    assert PROVIDER.parse(post(PROVIDER.greeting_call(account)).content).kind != "error"
    wrong = Account("key-1", account.base_url, "wrong")
    assert PROVIDER.parse(post(PROVIDER.greeting_call(wrong)).content).kind == "error"
    assert bill(account.base_url.removesuffix(PROVIDER.base_path))["posts"] == before
    refused = submit(wrong, "t-wrong")
    assert isinstance(refused, NotTaken)
    assert refused.reason is Reason.KEY_REFUSED


def test_the_empty_callback_tells_of_no_image() -> None:
    """The doctor's probe is read like any other callback."""
    told = PROVIDER.parse(PROVIDER.empty_callback("t-probe"))
    assert (told.kind, told.track_id, told.request_id, told.links) == ("failed", "t-probe", None, ())


def test_our_own_id_finds_a_request_only_where_the_provider_says_so(account: Account) -> None:
    """While the answer to a submit is lost, that would be the question."""
    request_id = taken(submit(account, "t-ours"))
    until(lambda: fetch(account, request_id).kind == "success")
    assert (fetch(account, "t-ours").kind == "success") is PROVIDER.capabilities.finds_by_our_id


def test_the_same_submit_twice_is_billed_once_only_where_the_provider_says_so(account: Account) -> None:
    """Else a submit whose answer is lost must not be sent again."""
    for _ in range(2):
        taken(submit(account, "t-twice"))
    assert (posts(account, "t-twice") == 1) is PROVIDER.capabilities.takes_idempotency_key


def test_a_callback_is_signed_only_where_the_provider_says_so(account: Account, receiver: CalledBack) -> None:
    """Else the token in its address is all the proof there is."""
    taken(submit(account, "t-signed", receiver.url))
    names = receiver.next_whole().headers
    assert any("signature" in name.lower() for name in names) is PROVIDER.capabilities.signs_callbacks
