"""The page docs/redis.md, made from the map of keys: `python -m worker.store.keys_page > docs/redis.md`."""

from worker.store.key_family import Family
from worker.store.keys import FAMILIES

HEAD = """# Redis keys

Every family of Redis keys. This page is made from `worker/store/keys.py` by
`python -m worker.store.keys_page > docs/redis.md`. A name in angle brackets is a variable part of the key.
How long a key lives:

- **with its jobs**: the key or its members are named after jobs or their deliveries, and are removed with them.
- **time to live**: Redis removes the key by its TTL.
- **until it is empty**: members come and go, and Redis removes the key with its last member.
- **permanent**: the key stays. Its size does not grow with the number of jobs; the table says what it grows with.
- **Celery's**: written by Celery and kombu; Darkroom does not remove it.

After every integration test, each key that is left must agree with this table (`tests/support/key_leaks.py`).

| key | type | holds | lives |
|---|---|---|---|
"""


def page() -> str:
    """The whole page, as Markdown."""
    return HEAD + "".join(map(_row, FAMILIES.values()))


def _row(family: Family) -> str:
    life = f"{family.life}: {family.bound}" if family.bound else family.life
    return f"| `{family.pattern}` | {family.type} | {_cell(family.holds)} | {_cell(life)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - that is what it is for
