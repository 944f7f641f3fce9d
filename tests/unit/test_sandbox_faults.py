"""Faults as they are read out of a prompt, and the images that a prompt gives."""

from dataclasses import fields
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.upstream.modelslab.sandbox.faults import MEANINGS, Faults, parse_faults
from worker.upstream.modelslab.sandbox.instead import what_comes_instead
from worker.upstream.modelslab.sandbox.painter import paint

# on a fresh clone Hypothesis first builds its table of Unicode, which takes seconds on a busy machine
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("prompt", "faults"),
    [
        ("a cat", Faults()),
        ("a cat [[delay=3]]", Faults(delay=3)),
        ("[[delay=0]] a cat", Faults(delay=0)),
        ("[[answer-delay=0.5]]", Faults(answer_delay=0.5)),
        ("[[fail=out of paint]]", Faults(fail="out of paint")),
        ("[[fail]]", Faults(fail="Processing failed: out of memory")),
        ("[[reject]]", Faults(reject="The prompt is not allowed")),
        ("[[http=503]]", Faults(http=503)),
        ("[[http=503]] [[taken]]", Faults(http=503, taken=True)),
        ("[[http-once=429]]", Faults(http_once=429)),
        ("[[accept-then-drop]]", Faults(accept_then_drop=True)),
        ("[[callback=3]]", Faults(callback=3)),
        ("[[contradict]]", Faults(contradict="after")),
        ("[[contradict=first]]", Faults(contradict="first")),
        ("[[image-404=5]][[image-truncated]]", Faults(image_404=5, image_truncated=1)),
        ("[[late=30]] of [[forged]]", Faults(late=30, forged=True)),
        ("[[forged=yes]] [[sync=]]", Faults(forged=True, sync=True)),
        ("[[gateway=403]] [[once]]", Faults(gateway=403, once=True)),
        ("[[edge=521]]", Faults(edge=521)),
        ("[[edge=503]]", Faults()),
        ("[[foreign-id]] [[foreign-track=fetch]]", Faults(foreign_id="everywhere", foreign_track="fetch")),
        ("[[same-id=twins]]", Faults(same_id="twins")),
        ("[[eta=7200]]", Faults(eta=7200)),
        ("[[http=200]]", Faults()),
        ("[[http=1000]]", Faults()),
        ("[[delay=-1]]", Faults()),
        ("[[delay=soon]]", Faults()),
        ("[[delay=nan]] [[late=inf]] [[expire=1e9]]", Faults()),
        ("[[unheard-of=1]] [[ delay=3 ]] [delay=3]", Faults()),
    ],
)
def test_a_prompt_asks_for_the_faults_in_it(prompt: str, faults: Faults) -> None:
    """Known names with usable values count; everything else is part of the image."""
    assert parse_faults(prompt) == faults


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a cat", [None, None]),
        ("[[http=503]]", [(503, False), (503, False)]),
        ("[[http=400]] [[taken]]", [(400, True), (400, True)]),
        ("[[http=503]] [[once]]", [(503, False), None]),
        ("[[http-once=402]] [[http=503]]", [(402, False), (503, False)]),
        ("[[gateway=302]]", [(302, True), (302, True)]),
        ("[[edge=525]] [[once]]", [(525, False), None]),
        ("[[busy=1]]", [(429, False), None]),
        ("[[busy-silent=1]] [[busy=1]]", [(429, False), (429, False), None]),
    ],
)
def test_what_comes_in_the_place_of_an_answer(prompt: str, told: list[tuple[int, bool] | None]) -> None:
    """By the number of the POST: its status, and whether it is taken all the same."""
    faults = parse_faults(prompt)
    found = [what_comes_instead(faults, nth) for nth in range(1, len(told) + 1)]
    assert [each and (each.status, each.taken) for each in found] == told


@PATIENT
@given(st.text(max_size=200))
def test_any_text_is_a_prompt(prompt: str) -> None:
    """Parsing never raises."""
    assert isinstance(parse_faults(prompt), Faults)


@PATIENT
@given(st.sampled_from(sorted(MEANINGS)), st.text(st.characters(exclude_characters="[]"), max_size=20))
def test_any_value_of_a_known_fault_is_usable_or_left_out(name: str, value: str) -> None:
    """Numbers stay inside their limits, whatever is written."""
    faults = parse_faults(f"[[{name}={value}]]")
    numbers = [getattr(faults, field.name) for field in fields(Faults)]
    assert all(0 <= number <= 10**6 for number in numbers if isinstance(number, int | float))


def test_every_fault_is_explained_and_every_explained_fault_exists() -> None:
    """The page for people and the parser know the same names."""
    assert {name.replace("-", "_") for name in MEANINGS} == {field.name for field in fields(Faults)}


def test_the_same_prompt_and_seed_give_the_same_bytes() -> None:
    """Uncached, so that it is painted twice."""
    assert paint.__wrapped__("a cat", 7, 96, 64) == paint.__wrapped__("a cat", 7, 96, 64)


@pytest.mark.parametrize(("prompt", "seed"), [("a dog", 7), ("a cat", 8)])
def test_another_prompt_or_seed_gives_another_image(prompt: str, seed: int) -> None:
    """Both choose the scene."""
    assert paint(prompt, seed, 96, 64) != paint("a cat", 7, 96, 64)


@PATIENT
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_an_image_has_the_size_that_was_asked_for(width: int, height: int, seed: int) -> None:
    """Down to one pixel."""
    with Image.open(BytesIO(paint("a cat", seed, width, height))) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (width, height))
