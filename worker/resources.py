"""The composition root of a worker process: what it holds open, opened once on its loop and closed in order."""

from dataclasses import dataclass, replace

from config.settings import Settings
from worker.composition import collecting, delivery_ledger, job_store, limits_of, viewer_of
from worker.health import Health
from worker.images.claims import Collecting
from worker.images.collect import Pictures
from worker.images.decoder import Decoder
from worker.images.download import PictureSource
from worker.images.store import open_store
from worker.job.timing import Limits
from worker.shown.job import Viewer
from worker.store.jobs import JobStore, UpstreamLimit
from worker.store.lane import Lane, connect
from worker.telling.notifier import Notifier
from worker.telling.secrets import WebhookSecrets
from worker.upstream.client import UpstreamClient
from worker.upstream.pool import Pool


@dataclass(frozen=True)
class Resources:
    """Everything below the lifecycle, ready to use."""

    settings: Settings
    lane: Lane
    store: JobStore
    client: UpstreamClient
    pictures: Pictures
    collecting: Collecting
    notifier: Notifier
    pool: Pool
    base_limits: Limits
    health: Health
    viewer: Viewer

    @property
    def limits(self) -> Limits:
        """The durations as they are now: polls come sooner while callbacks do not arrive."""
        return replace(self.base_limits, callbacks_trusted=self.health.callbacks_trusted)

    async def aclose(self) -> None:
        """Closes what was opened, last opened first."""
        await self.notifier.aclose()
        await self.pictures.aclose()
        await self.client.aclose()
        await self.lane.aclose()


async def open_resources(settings: Settings) -> Resources:
    """Opens a worker's connections; called on its loop, after any fork. Does not wait for Redis to be there."""
    lane = Lane(
        connect(settings.redis_url.get_secret_value(), settings.redis_timeout_seconds),
        settings.redis_timeout_seconds,
        settings.redis_replicas,
    )
    store = job_store(settings, lane)
    pictures = Pictures(PictureSource(settings), Decoder(settings), open_store(settings))
    return Resources(
        settings=settings,
        lane=lane,
        store=store,
        client=UpstreamClient(settings),
        pictures=pictures,
        collecting=collecting(settings, lane),
        notifier=Notifier(settings, delivery_ledger(settings, lane), WebhookSecrets(settings, lane)),
        pool=Pool(settings),
        base_limits=limits_of(settings),
        health=Health(),
        viewer=viewer_of(settings),
    )


def pool_limits(resources: Resources) -> list[UpstreamLimit]:
    """The pool as the queue must know it."""
    return [UpstreamLimit(name, resources.settings.upstream_max_in_flight) for name in resources.pool.used]
