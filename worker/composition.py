"""What both the API and the worker make from the settings: stores, durations, the viewer of jobs."""

from config.broker import KEY_PREFIX
from config.settings import Settings
from worker.app import app
from worker.images.claims import Collecting
from worker.job.timing import SECOND, Durations
from worker.shown.job import Viewer
from worker.store.admission import Budget
from worker.store.jobs import JobStore
from worker.store.lane import Lane
from worker.store.messages import message_template
from worker.store.push import Push
from worker.telling.deliveries import DeliveryStore

SUBMIT_MARGIN_SECONDS = 10
"""Seconds between the end of the longest POST and the end of its lease."""


def job_store(settings: Settings, lane: Lane) -> JobStore:
    """The job store, for the API and the worker."""
    budget = Budget(settings.tenant_images_per_day, settings.tenant_images_per_month)
    return JobStore(lane, message_template(app), KEY_PREFIX, int(settings.lease_seconds * SECOND), budget)


def collecting(settings: Settings, lane: Lane) -> Collecting:
    """The claims for collecting images, over all workers."""
    push = Push(message_template(app), KEY_PREFIX, int(settings.lease_seconds * SECOND))
    return Collecting(lane, push, settings.collect_per_tenant)


def delivery_store(settings: Settings, lane: Lane) -> DeliveryStore:
    """The store of webhook deliveries, for the API and the worker."""
    return DeliveryStore(settings, lane, Push(message_template(app), KEY_PREFIX, int(settings.lease_seconds * SECOND)))


def durations_of(settings: Settings) -> Durations:
    """The durations that decisions depend on."""
    submit = settings.upstream_timeout_seconds + settings.upstream_connect_timeout_seconds + SUBMIT_MARGIN_SECONDS
    return Durations(
        submit_lease=int(submit * SECOND),
        work_lease=int(settings.lease_seconds * SECOND),
        unknown_wait=int(settings.unknown_wait_seconds * SECOND),
    )


def viewer_of(settings: Settings) -> Viewer:
    """How this installation shows jobs."""
    return Viewer(settings.public_url, settings.secrets, settings.image_url_seconds * SECOND)
