"""The words of a caller decide nothing about the account, however the upstream repeats them; its own words still do."""

import html
import json
from urllib.parse import quote

import pytest

from worker.job.answer import NotTaken, Open, Reason
from worker.upstream.chosen import PROVIDER

NAMES = ["premium", "api key", "rate limit", "Free-Trial", "rate_limit", "pro plan", "too many requests", "try again"]
REPEATED = {
    "as it is": str,
    "in capitals": str.upper,
    "percent-encoded": quote,
    "every letter percent-encoded": lambda text: "".join(f"%{ord(letter):02X}" for letter in text),
    "JSON in numbers": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "HTML in numbers": lambda text: "".join(f"&#x{ord(letter):x};" for letter in text),
    "escaped": lambda text: html.escape(json.dumps(text)),
    "with other spaces": lambda text: text.replace(" ", " \t\xa0 "),
    "with underscores": lambda text: text.replace(" ", "_").replace("-", "_"),
    "in brackets": lambda text: f"<{text}>",
    "in other marks": lambda text: f"‹{text}›",
}
FORMS = ["Model {} not found", "{} is not available", "No such LoRA ({})", "The {} model cannot be used with it"]


def judged(message: str, echoes: list[str], status: int = 200) -> str:
    outcome = PROVIDER.judge(status, {}, json.dumps({"status": "error", "message": message}).encode(), echoes)
    assert isinstance(outcome, NotTaken | Open)
    return outcome.reason


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spelling", REPEATED)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_verdict_however_it_is_repeated(name: str, spelling: str, form: str) -> None:
    assert judged(form.format(REPEATED[spelling](name)), ["a cat", name]) == Reason.REJECTED


LONG = "A rate limit sign beside a premium api key on a floor plan, with a free trial of a subscription, at night"
PARTS = [LONG[:20], LONG[:45], f"{LONG[:50]}...", LONG[:90], f"{LONG[:61]}…", LONG.replace(",", "")]


@pytest.mark.parametrize("form", ["{} is not allowed", "Not allowed in a prompt - {}", "The prompt {} is not allowed"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_long_text_is_no_verdict(part: str, form: str) -> None:
    """The upstream may cut it anywhere, also in a word."""
    assert judged(form.format(part), [LONG, "m"]) == Reason.REJECTED


@pytest.mark.parametrize("listed", ["vip,premium,b", "premium", "vip, premium ,b", "a,b,c,premium"])
def test_one_name_of_a_list_is_no_verdict(listed: str) -> None:
    assert judged("LoRA premium not found", [listed]) == Reason.REJECTED


@pytest.mark.parametrize("echo", ["vip", "pro", "a", "lim", "e", "5", "m", "maximum", "to continue", "v1,a,the,key"])
def test_no_short_name_hides_what_the_upstream_says_itself(echo: str) -> None:
    """A whole word at most is taken out, and the provider's sentences hold more than one that names their cause."""
    assert judged("Rate limit exceeded. Maximum 5 queued requests allowed.", [echo]) == Reason.BUSY
    assert judged("Insufficient credits. Please add more credits to continue.", [echo]) == Reason.KEY_REFUSED
    assert judged("This feature requires a premium subscription", [echo]) == Reason.KEY_REFUSED


OWN = [
    ("Error: Rate limit exceeded", Reason.BUSY),
    ("error - Invalid API key", Reason.KEY_REFUSED),
    ("Failed: error: too many requests", Reason.BUSY),
    ("Error: Model not found: premium", Reason.REJECTED),
    ("Unauthorized", Reason.KEY_REFUSED),
    ("Message: width must be less", Reason.REJECTED),
]


@pytest.mark.parametrize(("message", "reason"), OWN)
def test_a_label_before_the_words_hides_them_not(message: str, reason: Reason) -> None:
    assert judged(message, ["m", "a cat"]) == reason


FORBIDDEN = [
    ("This model is private", Reason.REJECTED),
    ("You may not use the LoRA premium", Reason.REJECTED),
    ("Your plan does not include this model", Reason.KEY_REFUSED),
    ("Forbidden", Reason.KEY_REFUSED),
    ("This feature requires a premium subscription", Reason.KEY_REFUSED),
]


@pytest.mark.parametrize(("message", "reason"), FORBIDDEN)
def test_a_403_about_the_model_refuses_this_request_only(message: str, reason: Reason) -> None:
    """Its job ends with the upstream's words. A 401 or 402 is always about the key."""
    assert judged(message, ["premium"], 403) == reason
    assert judged(message, ["premium"], 401) == Reason.KEY_REFUSED
