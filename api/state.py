"""The typed state of the API process: its connections and stores. Opened once, in the lifespan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from fastapi import FastAPI, Request

from api.callback_rate import CallbackRate
from api.http.shared_result import SharedResult
from api.keys import KeyRing, configured_keys
from api.places import Places
from api.redis_memory import RedisMemory
from api.watch import Watch
from config.settings import Settings
from worker.composition import delivery_store, job_store, viewer_of
from worker.images.chosen import open_store
from worker.images.store import ImageStore
from worker.installation import Installation, join_in_time
from worker.shown.job import Viewer
from worker.store.api_keys import KeyStore
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.telling.deliveries import DeliveryStore
from worker.telling.secrets import WebhookSecrets

READY_SECONDS = 1.0
"""How old `/readyz` may be: each answer of its own would be a write to Redis and to the image store, for anybody."""
MOST_BATCHES, MOST_BATCHES_OF_TENANT = 16, 4
"""Bodies of batches that are held at once: sixteen are what the guard has room for (api/guard/bounds.py)."""
MOST_LISTS, MOST_LISTS_OF_TENANT = 256, 16
"""Lists at once; those of one tenant are made one after another."""


class State(TypedDict):
    """Everything that an endpoint may use."""

    settings: Settings
    lane: Lane
    store: JobStore
    images: ImageStore
    keys: KeyRing
    viewer: Viewer
    watch: Watch
    memory: RedisMemory
    followers: Places
    """Streams of events, and waits for a job's end."""
    batches: Places
    lists: Places
    callback_rate: CallbackRate
    readiness: SharedResult[dict[str, Any]]
    deliveries: DeliveryStore
    webhook_secrets: WebhookSecrets


def state(request: Request) -> State:
    """The process's state, typed."""
    return request.scope["state"]  # type: ignore[no-any-return]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Opens everything without waiting for it, and closes it in reverse order."""
    settings: Settings = app.state.settings
    redis = connect(settings.redis_url.get_secret_value(), settings.redis_timeout_seconds)
    lane = Lane(redis, settings.redis_timeout_seconds, settings.redis_replicas)
    watch = Watch(settings.redis_url.get_secret_value())
    watch.start()
    store = job_store(settings, lane)
    keys = KeyRing(configured_keys(settings), KeyStore(lane), store.now)
    keys.start()
    memory = RedisMemory(lane, settings.redis_memory_share)
    memory.start()
    images = open_store(settings)
    joining = asyncio.create_task(join_in_time(Installation(lane, store, images)))
    yield State(
        settings=settings,
        lane=lane,
        store=store,
        images=images,
        keys=keys,
        viewer=viewer_of(settings),
        watch=watch,
        memory=memory,
        followers=Places(
            settings.max_followers, settings.tenant_max_followers, "too_many_followers", "streams and waits"
        ),
        batches=Places(MOST_BATCHES, MOST_BATCHES_OF_TENANT, "rate_limited", "batches"),
        lists=Places(MOST_LISTS, MOST_LISTS_OF_TENANT, "rate_limited", "lists"),
        callback_rate=CallbackRate(),
        readiness=SharedResult(READY_SECONDS),
        deliveries=delivery_store(settings, lane),
        webhook_secrets=WebhookSecrets(settings, lane),
    )
    await memory.aclose()
    joining.cancel()
    await keys.aclose()
    await watch.aclose()
    await lane.aclose()
