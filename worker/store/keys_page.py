"""The page docs/redis.md, made from the map of keys: `python -m worker.store.keys_page > docs/redis.md`."""

from worker.store.key_family import Family
from worker.store.keys import FAMILIES

HEAD = """# Redis keys

Every family of keys in Redis, made from `worker/store/keys.py` by `python -m worker.store.keys_page > docs/redis.md`.
A name in angle brackets stands for what tells one key of a family from another. How long a key lives:

- **with its jobs**: it is named after a job, or its members are jobs or deliveries of jobs; it goes with them.
- **time to live**: Redis removes it by itself.
- **until it is empty**: members come and go, and Redis removes the key with the last.
- **permanent**: it stays, and its size does not grow with the number of jobs. What it grows with is said behind it.
- **Celery's**: written by Celery and kombu, and not ours to remove.

After every integration test, each key that is left must fit this table (`tests/support/key_leaks.py`).

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
