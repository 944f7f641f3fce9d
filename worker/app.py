"""The Celery application. Importing it opens no connection and loads no task."""

from celery import Celery

from config.broker import celery_options
from config.settings import load_settings
from worker.store.celery_transport import install

install()
app = Celery("darkroom", set_as_current=False, include=["worker.tasks"])
app.conf.update(celery_options(load_settings().redis_url.get_secret_value()))
