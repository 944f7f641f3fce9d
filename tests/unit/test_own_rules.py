"""Each rule of our own catches what it is for, and lets the right way pass; the product keeps all of them."""

import ast

import pytest

from tests import ownrules

BAD = {
    "own_client": [
        "httpx.AsyncClient(timeout=3)",
        "aiohttp.ClientSession()",
        "from urllib.request import urlopen\nurlopen(url)",
    ],
    "compared_secret": ["given == settings.secret", "if token != known_token: pass", "a.signature == b"],
    "logged_content": [
        "log.info('x', prompt=order.prompt)",
        "log.warning(f'got {body}')",
        "logging.error('%s', request.url)",
        "log.debug('x', given=str(headers))",
    ],
    "code_from_data": [
        "import pickle",
        "from yaml import load",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "httpx.get(url, verify=False)",
    ],
    "shown_secret": ["f'{settings.secret.get_secret_value()}'", "f'a {key.get_secret_value()[:3]} b'"],
    "asserted": ["assert job.tenant == tenant"],
}
GOOD = {
    "own_client": ["httpx.AsyncClient(transport=open_transport(settings))"],
    "compared_secret": ["hmac.compare_digest(given, secret)", "kind == 'token'", "status == other"],
    "logged_content": ["log.info('x', job=job.id, bytes=len(data))", "answer.info(body)"],
    "code_from_data": [
        "import json",
        "re.compile(text)",
        "subprocess.run([program])",
        "httpx.get(url, verify=context)",
    ],
    "shown_secret": ["connect(settings.redis_url.get_secret_value())", "f'{settings.port}'"],
    "asserted": ["if not known:\n    raise ValueError"],
}


@pytest.mark.parametrize(("rule", "snippet"), [(rule, each) for rule, many in BAD.items() for each in many])
def test_a_rule_catches(rule: str, snippet: str) -> None:
    """Also with the rest of the rules beside it."""
    assert list(ownrules.RULES[rule](ast.parse(snippet)))


@pytest.mark.parametrize(("rule", "snippet"), [(rule, each) for rule, many in GOOD.items() for each in many])
def test_a_rule_lets_the_right_way_pass(rule: str, snippet: str) -> None:
    """What is written instead."""
    assert not list(ownrules.RULES[rule](ast.parse(snippet)))


def test_every_rule_has_its_snippets() -> None:
    """Bad ones and good ones."""
    assert BAD.keys() == GOOD.keys() == ownrules.RULES.keys()


def test_every_exception_has_its_reason() -> None:
    """And none is kept that nothing needs; `make check` holds the rest."""
    files = [file for top in ownrules.PRODUCT for file in sorted((ownrules.ROOT / top).rglob("*.py"))]
    assert list(ownrules.complaints(files)) == []
    assert all(ownrules.ALLOWED.values())
