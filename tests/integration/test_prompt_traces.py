"""A prompt goes with its job: after the deletion Redis holds no word of it.

The words are looked for in every key of Redis, whatever its type.
"""

from collections.abc import Iterator

import httpx
from redis import Redis

from config.settings import Settings
from worker.job.ids import attempt_track_id
from worker.signing import callback_token
from worker.upstream.chosen import PROVIDER

CANARY = "a-canary-that-nobody-else-writes"
BODY = {"model_id": "m", "prompt": f"{CANARY} in a cage", "webhook": "https://receiver.example.com/hook"}
CALLBACK = {"status": "success", "id": 7, "output": ["https://cdn.example/1.png"], "meta": {"prompt": CANARY}}


def texts(redis: Redis) -> Iterator[str]:
    """Every value of every key, with the key before it."""
    read = {
        "string": lambda key: [redis.get(key)],
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1),
        "stream": redis.xrange,
    }
    for key in redis.scan_iter():
        kind = redis.type(key)
        yield f"{key!r}: {read[kind.decode() if isinstance(kind, bytes) else kind](key)!r}"


def traces(redis: Redis) -> list[str]:
    return [each[:80] for each in texts(redis) if CANARY in each]


def call_back(client: httpx.Client, settings: Settings, job_id: str) -> httpx.Response:
    """The provider's callback of the first attempt, which repeats the prompt."""
    token = callback_token(attempt_track_id(job_id, 1), settings.secrets)
    return client.post(PROVIDER.callback_path + token, json=CALLBACK)


def test_a_deleted_jobs_prompt_is_nowhere(client: httpx.Client, settings: Settings, redis: Redis) -> None:
    """With an Idempotency-Key, a delivery, and a callback that repeats it."""
    job_id = client.post("/v1/jobs", json=BODY, headers={"idempotency-key": "once"}).json()["id"]
    assert traces(redis)
    assert call_back(client, settings, job_id).status_code == 200
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert traces(redis) == []
