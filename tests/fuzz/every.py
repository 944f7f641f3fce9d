"""All targets by name."""

from tests.fuzz import addresses, answers, callbacks, heads, pictures, posted, texts
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    "answer": answers.ANSWER,
    "echo": answers.ECHO,
    "token": callbacks.TOKEN,
    "signature": callbacks.SIGNATURE,
    "callback": callbacks.BODY,
    "address": addresses.ADDRESS,
    "number": addresses.NUMBER,
    "picture": pictures.PICTURE,
    "request": posted.REQUEST,
    "fingerprint": posted.FINGERPRINT,
    "redis-address": texts.REDIS,
    "text": texts.TEXT,
    "connection": heads.CONNECTION,
}
