"""Images that kill their decoder, over a real Redis and real children: given up after three deaths, and no others."""

import sys
from dataclasses import replace

from redis import Redis

from config.settings import Settings
from tests.integration.test_collecting import check_stored
from tests.support.engine import Engine, running_engine
from worker.images.decoder import Decoder
from worker.job.record import Status

POISONED = (sys.executable, "-m", "tests.support.poison_child")


async def test_an_image_that_kills_every_decoder_is_given_up_after_three(settings: Settings, redis: Redis) -> None:
    """Long before the deadline, also over a restart of the worker; nobody fetches or decodes it again."""
    async with running_engine(settings, redis, image_hosts=("127.0.0.1",)) as engine:
        engine.upstream.linked = b"exit"
        job_id = await engine.accepted()
        for _ in range(5):
            # another worker process each time: what it must know is on the record
            pipeline = replace(engine.r.images, decoder=Decoder(settings, command=POISONED))
            worker = Engine(replace(engine.r, images=pipeline), redis, engine.upstream)
            await engine.r.store.again_at(job_id, 0)
            await engine.r.store.queue.tick()
            await worker.work()
            await pipeline.decoder.aclose()
        job = await engine.job(job_id)
        assert job.error
        assert (job.status, job.error.code, job.charged) == (Status.FAILED, "images_unreadable", True)
        assert engine.upstream.reads == 3
        assert redis.zscore("due", job_id) is None
        assert engine.files() == []


async def test_a_picture_beside_one_that_kills_decoders_is_kept(settings: Settings, redis: Redis) -> None:
    """Of two images one is poison: the job succeeds with the other, and says that one is missing."""
    async with running_engine(settings, redis, image_hosts=("127.0.0.1",)) as engine:
        pipeline = replace(engine.r.images, decoder=Decoder(settings, command=POISONED))
        worker = Engine(replace(engine.r, images=pipeline), redis, engine.upstream)
        worker.upstream.samples, worker.upstream.poisoned = 2, {2}
        job_id = await engine.accepted(request={"samples": 2})
        for _ in range(4):
            await engine.r.store.again_at(job_id, 0)
            await engine.r.store.queue.tick()
            await worker.work()
        await pipeline.decoder.aclose()
        job = await engine.job(job_id)
        assert (job.status, len(job.images), job.images_missing) == (Status.SUCCEEDED, 1, 1)
        check_stored(engine, job)
