"""The composition root of a worker process: its connections and stores, opened once on its loop, closed in order."""

from dataclasses import dataclass, replace

from config.settings import Settings
from worker.composition import collecting, delivery_store, durations_of, job_store, viewer_of
from worker.health import Health
from worker.images.chosen import open_store
from worker.images.claims import Collecting
from worker.images.collect import ImagePipeline
from worker.images.decoder import Decoder
from worker.images.download import ImageSource
from worker.images.in_hand import InHand
from worker.job.timing import Durations
from worker.shown.job import Viewer
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.queue import UpstreamLimit
from worker.telling.notifier import Notifier
from worker.telling.secrets import WebhookSecrets
from worker.upstream.accounts import Accounts
from worker.upstream.cleaning import Cleaner
from worker.upstream.client import UpstreamClient


@dataclass(frozen=True)
class Resources:
    """Everything below the lifecycle, ready to use."""

    settings: Settings
    lane: Lane
    store: JobStore
    client: UpstreamClient
    cleaner: Cleaner
    images: ImagePipeline
    collecting: Collecting
    notifier: Notifier
    accounts: Accounts
    base_durations: Durations
    health: Health
    viewer: Viewer

    @property
    def durations(self) -> Durations:
        """The durations that apply now: polls are more frequent while callbacks do not arrive."""
        return replace(self.base_durations, callbacks_trusted=self.health.callbacks_trusted)

    async def aclose(self) -> None:
        """Closes what was opened, last opened first."""
        await self.notifier.aclose()
        await self.images.aclose()
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
    accounts = Accounts(settings)
    cleaner = Cleaner(settings, lambda: accounts.keys)
    images = ImagePipeline(ImageSource(settings), Decoder(settings), open_store(settings), InHand())
    return Resources(
        settings=settings,
        lane=lane,
        store=store,
        client=UpstreamClient(settings, cleaner),
        cleaner=cleaner,
        images=images,
        collecting=collecting(settings, lane),
        notifier=Notifier(settings, delivery_store(settings, lane), WebhookSecrets(settings, lane)),
        accounts=accounts,
        base_durations=durations_of(settings),
        health=Health(),
        viewer=viewer_of(settings),
    )


def pool_limits(resources: Resources) -> list[UpstreamLimit]:
    """The pool of accounts with their limits, as the queue in Redis must know it."""
    return [UpstreamLimit(name, resources.settings.upstream_max_in_flight) for name in resources.accounts.used]
