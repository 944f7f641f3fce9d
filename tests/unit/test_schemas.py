"""What a request may hold: every attribute of the documentation, in every form that it may come in."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.http.problems import InvalidJson, InvalidRequest
from api.schemas.field_errors import ALLOWED
from api.schemas.request import (
    ATTRIBUTE_NAMES,
    FLAGS,
    OWN_NAMES,
    ParsedRequest,
    parse_batch,
    parse_compatible,
    parse_request,
)
from worker.upstream.chosen import PROVIDER
from worker.upstream.numbers import whole_pattern

LEAST = {"model_id": "m", "prompt": "a cat"}


def parse(**more: Any) -> ParsedRequest:
    return parse_request(json.dumps(LEAST | more).encode())


def refused(**more: Any) -> dict[str, dict[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        parse(**more)
    return {error["field"]: error for error in caught.value.errors}


def test_the_documentations_own_body_is_taken_word_for_word() -> None:
    """Its steps are raised and said; what is null is not sent."""
    parsed = parse_request(Path("api/example.json").read_bytes())
    assert parsed.adjustments == [
        {"field": "num_inference_steps", "from": "20", "to": 21, "reason": "allowed: 21, 31, 41"}
    ]
    assert (parsed.request["width"], parsed.request["clip_skip"], parsed.request["guidance_scale"]) == (512, 2, 7.5)
    assert not {"seed", "vae", "lora_model", "lora_strength", "webhook", "track_id"} & parsed.request.keys()


def test_all_28_attributes_of_the_page_are_known() -> None:
    """Less `key`, which goes into the header."""
    page = ATTRIBUTE_NAMES | {"webhook", "track_id"}
    assert len(page) == 28
    assert page <= ALLOWED.keys()


ACCEPTED = [
    ("width", 1, 1), ("width", "1024", 1024), ("height", 1024, 1024), ("samples", "4", 4), ("samples", 1, 1),
    ("seed", 0, 0), ("seed", "4294967295", 4294967295), ("guidance_scale", "7.5", 7.5), ("guidance_scale", 1, 1.0),
    ("clip_skip", 8, 8), ("num_inference_steps", 31, 31), ("num_inference_steps", "41", 41),
    ("safety_checker_type", "blur", "blur"), ("algorithm_type", "dpmsolver+++", "dpmsolver+++"),
    ("lora_model", "more_details,animie", "more_details,animie"), ("vae", "v", "v"), ("negative_prompt", "x", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given_value", "sent"), ACCEPTED)
def test_numbers_come_as_numbers_or_text_and_go_as_numbers(name: str, given_value: object, sent: object) -> None:
    """One clean form is forwarded."""
    assert parse(**{name: given_value}).request[name] == sent


@pytest.mark.parametrize("name", sorted(FLAGS))
@pytest.mark.parametrize(("given_value", "sent"), [("yes", "yes"), ("no", "no"), (True, "yes"), (False, "no")])
def test_flags_come_as_words_or_booleans_and_go_as_words(name: str, given_value: object, sent: str) -> None:
    """All of them."""
    assert parse(**{name: given_value}).request[name] == sent


@pytest.mark.parametrize("scheduler", PROVIDER.vocabulary.schedulers)
def test_every_scheduler_of_the_page_is_taken(scheduler: str) -> None:
    """All 18."""
    assert len(PROVIDER.vocabulary.schedulers) == 18
    assert parse(scheduler=scheduler).request["scheduler"] == scheduler


@pytest.mark.parametrize("name", sorted((ATTRIBUTE_NAMES | OWN_NAMES) - {"model_id", "prompt"}))
@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_mean_not_given(name: str, nothing: object) -> None:
    """They are not sent."""
    assert name not in parse(**{name: nothing}).request


@pytest.mark.parametrize("seed", [-1, "-1", -1.0])
def test_minus_one_is_a_random_seed_on_every_path(seed: object) -> None:
    """Real clients send it: taken as not given, and said."""
    body = {"model_id": "m", "prompt": "p", "seed": seed}
    batch = parse_batch(orjson.dumps([body]))
    for parsed in (parse_request(orjson.dumps(body)), parse_compatible(body), batch[0]):
        assert "seed" not in parsed.request
        assert parsed.adjustments == [{"field": "seed", "from": seed, "to": None, "reason": "-1 means random"}]


REFUSED = [
    ("width", 0), ("width", 1025), ("width", 512.5), ("width", "wide"), ("width", True), ("width", [512]),
    ("height", -1), ("samples", 5), ("samples", 0), ("num_inference_steps", 42), ("num_inference_steps", 0),
    ("seed", -2), ("seed", "-01"),
    ("seed", 2**32), ("guidance_scale", 101), ("guidance_scale", "much"), ("clip_skip", 9),
    ("scheduler", "NoScheduler"), ("safety_checker", "maybe"), ("safety_checker_type", "white"), ("upscale", 2),
    ("algorithm_type", "dpmsolver++"), ("lora_strength", "0.05"), ("lora_strength", "x"), ("webhook", "ftp://a/b"),
    ("webhook", "http://user@host/x"), ("webhook", "https://a b/"), ("metadata", {"a": {"b": 1}}), ("priority", 10),
    ("metadata", {str(n): 1 for n in range(17)}), ("deadline_seconds", 0), ("on_unknown", "pray"),
    ("prompt", "x" * 10_001),
    ("model_id", "a\nb"), ("track_id", "x" * 256), ("prompt", ""), ("model_id", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_the_page_does_not_allow_is_refused_naming_the_field(name: str, value: object) -> None:
    """And what is allowed."""
    error = refused(**{name: value})[name]
    assert error["allowed"] == ALLOWED[name]


def test_each_strength_of_a_lora_is_in_its_range() -> None:
    """How many go with how many models is the upstream's to say."""
    assert parse(lora_model="a,b", lora_strength="0.5").request["lora_strength"] == "0.5"
    assert parse(lora_model="a,b", lora_strength="0.5,1").request["lora_strength"] == "0.5,1"
    for wrong in ("0.5,2", "0.05", "x", "0.5;1", ","):
        assert "lora_strength" in refused(lora_model="a,b", lora_strength=wrong)


@pytest.mark.parametrize("wrong", ["1_0", " 5", "5.0", "+5", "٣", "1e2", "0", "1025", "00000000005x"])
def test_a_number_as_text_is_digits(wrong: str) -> None:
    """What else Python would read as one is refused, as OpenAPI says."""
    assert "width" in refused(width=wrong)


@given(low=st.sampled_from([0, 1]), high=st.integers(1, 5_000_000), number=st.integers(0, 6_000_000))
def test_the_pattern_of_a_range_is_the_range(low: int, high: int, number: int) -> None:
    """For every bound."""
    matched = re.fullmatch(whole_pattern(low, high), f"0{number}") is not None
    assert matched == (low <= number <= high)


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    """And a `key` is told where it belongs, unseen."""
    errors = refused(negativ_prompt="x", key="canary-key")
    assert errors["negativ_prompt"]["allowed"] == "negative_prompt"
    assert "canary" not in json.dumps(errors)


def test_on_the_compatible_paths_an_unknown_key_is_ignored_and_listed() -> None:
    """Clients of the upstream send more than the page knows."""
    parsed = parse_compatible(LEAST | {"multi_lingual": "no", "key": "k"})
    assert [each["field"] for each in parsed.adjustments] == ["multi_lingual"]


def test_what_is_for_us_is_kept_apart_from_what_is_forwarded() -> None:
    """The caller's webhook and track_id are never the upstream's."""
    parsed = parse(webhook="https://a.example/x", track_id=5, priority="9", metadata={"a": 1}, on_unknown="fail")
    assert parsed.request == LEAST
    assert (parsed.webhook, parsed.track_id, parsed.priority) == ("https://a.example/x", "5", 9)


def test_no_refusal_echoes_what_was_written_as_text() -> None:
    """Canaries in every text field, each refused for another reason."""
    canary = "canary-text-" + "x" * 10_001
    texts = ("prompt", "negative_prompt", "model_id", "vae", "lora_model", "track_id", "webhook", "scheduler")
    assert "canary-text" not in json.dumps(refused(**dict.fromkeys(texts, canary)))


def test_a_batch_names_the_index_of_what_is_wrong() -> None:
    """And takes 1 to 1,000."""
    with pytest.raises(InvalidRequest) as caught:
        parse_batch(json.dumps([LEAST, LEAST | {"width": 0}]).encode())
    assert caught.value.errors[0]["field"] == "1.width"
    with pytest.raises(InvalidRequest) as caught:
        parse_batch(json.dumps([LEAST | {"width": 0}, 5, LEAST, []]).encode())
    assert [error["field"] for error in caught.value.errors] == ["0.width", "1", "3"]
    for count in (0, 1001):
        with pytest.raises(InvalidRequest):
            parse_batch(json.dumps([LEAST] * count).encode())
    assert len(parse_batch(json.dumps([LEAST] * 1000).encode())) == 1000


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
requests = st.dictionaries(
    st.sampled_from(sorted(ATTRIBUTE_NAMES | OWN_NAMES)) | st.text(max_size=10), values, max_size=8
)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(requests)
def test_any_object_is_a_request_or_a_clear_refusal(content: dict[str, Any]) -> None:
    """Never another error."""
    try:
        assert isinstance(parse_request(json.dumps(content).encode()), ParsedRequest)
    except InvalidRequest as error:
        assert error.errors


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_clear_refusal(body: bytes) -> None:
    """Never another error."""
    with pytest.raises((InvalidJson, InvalidRequest)):
        parse_request(body)
