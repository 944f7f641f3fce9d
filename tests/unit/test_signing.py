"""Tokens of callbacks: what is not exactly ours is nobody's, whatever it looks like."""

import random
from collections.abc import Callable

from worker.signing import callback_token, check_callback_token

OLD, NEW = b"the-old-secret-0123456789", b"the-new-secret-0123456789"
BOTH = (OLD, NEW)
JOBS = ("01J8Z4Q2V0WRM3YHC5T7E9N1KD", "01J8Z4Q2V0WRM3YHC5T7E9N1KE")
FORGED = 100_000
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \x00\n\r%ſKéА１\ud800"

Forge = Callable[[random.Random, str], str]


def replaced(draw: random.Random, token: str) -> str:
    """One character of it is another one."""
    at = draw.randrange(len(token))
    return token[:at] + draw.choice(LETTERS) + token[at + 1 :]


def inserted(draw: random.Random, token: str) -> str:
    """One more is in it."""
    at = draw.randrange(len(token) + 1)
    return token[:at] + draw.choice(LETTERS) + token[at:]


def swapped(draw: random.Random, token: str) -> str:
    """A letter in the other case."""
    at = draw.randrange(len(token))
    return token[:at] + token[at].swapcase() + token[at + 1 :]


def cut(draw: random.Random, token: str) -> str:
    """Its beginning or its end."""
    at = draw.randrange(len(token))
    return token[:at] if draw.random() < 0.5 else token[at:]


def moved(draw: random.Random, token: str) -> str:
    """The signature of one attempt behind the name of another one, of the same job or of another tenant's."""
    signature = token.rpartition(".")[2]
    job = draw.choice(JOBS)
    return f"{job}-{draw.choice(['0', '2', '01', '+1', '1 ', '１', '', '-1', '1-1', '9' * 12])}.{signature}"


def invented(draw: random.Random, token: str) -> str:
    """The right form and random letters."""
    return token[:-43] + "".join(draw.choices(LETTERS[:64], k=43))


def rewritten(draw: random.Random, token: str) -> str:
    """The same bytes in another spelling of base64, or with bits in the last letter that stand for nothing."""
    name, _, signature = token.rpartition(".")
    alphabet = LETTERS[:64]
    loose = signature[:-1] + alphabet[(alphabet.index(signature[-1]) & ~3) | draw.randrange(1, 4)]
    other_letters = signature.translate({ord("-"): "+", ord("_"): "/"}) + "="
    spelled = [signature + "=", signature + "==", signature + "A", other_letters, loose]
    return f"{name}.{draw.choice(spelled)}"


FORGERIES: tuple[Forge, ...] = (replaced, inserted, swapped, cut, moved, invented, rewritten)


def test_a_hundred_thousand_forged_tokens_prove_nothing() -> None:
    """Each is near to a real one, and none of them is."""
    draw = random.Random(20261125)
    real = [callback_token(f"{job}-{number}", (secret,)) for job in JOBS for number in (1, 3) for secret in BOTH]
    known, taken = set(real), []
    for number in range(FORGED):
        token = FORGERIES[number % len(FORGERIES)](draw, draw.choice(real))
        if check_callback_token(token, BOTH) and token not in known:
            taken.append(token)
    assert taken == []
    assert [check_callback_token(each, BOTH) for each in real[:2]] == [(JOBS[0], 1)] * 2


def test_the_newest_secret_signs_and_an_old_one_is_heard_until_it_is_taken_away() -> None:
    """Rotation: `old`, then `old,new`, then `new`."""
    before = callback_token(f"{JOBS[0]}-1", (OLD,))
    after = callback_token(f"{JOBS[0]}-1", BOTH)
    assert after == callback_token(f"{JOBS[0]}-1", (NEW,))
    assert [bool(check_callback_token(before, secrets)) for secrets in ((OLD,), BOTH, (NEW,))] == [True, True, False]
    assert [bool(check_callback_token(after, secrets)) for secrets in ((OLD,), BOTH, (NEW,))] == [False, True, True]


def test_a_token_of_a_callback_is_no_signature_of_anything_else() -> None:
    """A name that is signed for another purpose, or is not an attempt's, is not taken."""
    for name in ("", "x", JOBS[0], f"{JOBS[0]}-", f"{JOBS[0]}-1-1", f"{JOBS[0].lower()}-1", f"{JOBS[0]}-1/0"):
        assert check_callback_token(callback_token(name, BOTH), BOTH) is None
