"""The composition root of a worker process: what it holds open, opened once on its loop and closed in order."""

from dataclasses import dataclass

from config.broker import KEY_PREFIX
from config.settings import Settings
from worker.app import app
from worker.decisions import SECOND, Limits
from worker.images.collect import Pictures
from worker.images.decoder import Decoder
from worker.images.download import PictureSource
from worker.images.store import open_store
from worker.lane import Lane, connect
from worker.messages import message_template
from worker.notify import Notifier
from worker.store import JobStore, UpstreamLimit
from worker.upstream.client import UpstreamClient
from worker.upstream.pool import UpstreamKey, upstream_pool
from worker.view import Viewer

SUBMIT_MARGIN_SECONDS = 10
"""Between the longest POST and the moment nobody waits for it any more."""


@dataclass(frozen=True)
class Resources:
    """Everything below the lifecycle, ready to use."""

    settings: Settings
    lane: Lane
    store: JobStore
    client: UpstreamClient
    pictures: Pictures
    notifier: Notifier
    pool: dict[str, UpstreamKey]
    limits: Limits
    viewer: Viewer

    def upstream(self, name: str) -> UpstreamKey:
        """The key with that name; where it has left the configuration, the first one, which at least has the host."""
        return self.pool.get(name) or next(iter(self.pool.values()))

    async def aclose(self) -> None:
        """Closes what was opened, last opened first."""
        await self.notifier.aclose()
        await self.pictures.aclose()
        await self.client.aclose()
        await self.lane.aclose()


def job_store(settings: Settings, lane: Lane) -> JobStore:
    """The job store as both the door and the engine use it."""
    return JobStore(lane, message_template(app), KEY_PREFIX, int(settings.lease_seconds * SECOND))


def limits_of(settings: Settings) -> Limits:
    """The durations that decisions depend on."""
    submit = settings.upstream_timeout_seconds + settings.upstream_connect_timeout_seconds + SUBMIT_MARGIN_SECONDS
    return Limits(
        submit_lease=int(submit * SECOND),
        work_lease=int(settings.lease_seconds * SECOND),
        unknown_wait=int(settings.unknown_wait_seconds * SECOND),
    )


def viewer_of(settings: Settings) -> Viewer:
    """How this installation shows jobs."""
    return Viewer(settings.public_url, settings.secrets, settings.image_url_seconds * SECOND)


async def open_resources(settings: Settings) -> Resources:
    """Opens a worker's connections; called on its loop, after any fork. Does not wait for Redis to be there."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), settings.redis_timeout_seconds))
    store = job_store(settings, lane)
    pictures = Pictures(PictureSource(settings), Decoder(settings), open_store(settings))
    return Resources(
        settings=settings,
        lane=lane,
        store=store,
        client=UpstreamClient(settings),
        pictures=pictures,
        notifier=Notifier(settings, lane),
        pool=upstream_pool(settings),
        limits=limits_of(settings),
        viewer=viewer_of(settings),
    )


def pool_limits(resources: Resources) -> list[UpstreamLimit]:
    """The pool as the queue must know it."""
    return [UpstreamLimit(name, resources.settings.upstream_max_in_flight) for name in resources.pool]
