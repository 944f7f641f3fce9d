"""Celery's options, each with its reason. Measured on celery 5.6.3, kombu 5.7.0, redis-py 8.1.0."""

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from config.redis_address import RedisAddress, parse_redis_address

KEY_PREFIX = "{darkroom}celery:"
"""The prefix of Celery's own keys, apart from ours. The hash tag keeps them in one slot, as Redis Cluster requires."""
OLD_KEY_PREFIX = "celery:"
"""The prefix of an older version, whose messages may still be there."""

QUEUES = ("submit", "settle", "collect", "tell")
"""Each queue has a process of its own, with the role of the same name, so that no queue waits for another."""


def celery_options(redis_url: str) -> dict[str, Any]:
    """The configuration of the Celery application for that Redis."""
    address = parse_redis_address(redis_url)
    return {
        "broker_url": address.broker_url,
        # always with options: without any, kombu does not check certificates with rediss://
        "broker_use_ssl": dict(address.tls) if address.tls is not None else False,
        # the job's record is the result; a result backend would store arguments and errors a second time
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_backend_thread_safe": True,  # without it 5.6 scans entry points once per thread
        # a message is only a wake-up: a redelivered one could POST again, a lost one is found by its due time
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        # coroutines; it takes a message when there is room for it (worker/running/celery_pool.py)
        "worker_pool": "worker.running.celery_pool:CoroutinePool",
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # never give up; the default gives up after 100
        "broker_transport_options": {
            "global_keyprefix": KEY_PREFIX,
            "body_encoding": "utf-8",  # plain JSON, so that a script can put a job id into a message
            # no acknowledgement: that saves two writes and their fsyncs per message, and a full Redis would refuse
            # them and stop the worker. Messages of a killed worker are made up for by due times
            "ack_emulation": False,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "max_connections": 200,
        }
        | _sentinel_options(address),
        "task_serializer": "json",
        "accept_content": ["json"],  # never pickle: writing to Redis must not allow running code here
        "task_default_queue": "settle",
        "task_routes": {f"darkroom.{queue}": {"queue": queue} for queue in QUEUES},  # for a task that is called by hand
        "task_create_missing_queues": True,
        "task_send_sent_event": False,
        "worker_send_task_events": True,  # for Flower; costs about 1 ms of CPU per task
        # with an expiry kombu runs scripts for Flower's queue, and Flower's user of Redis may run none (deploy/redis)
        "event_queue_expires": None,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }


SENTINEL_SECONDS = 2.0


def _sentinel_options(address: RedisAddress) -> dict[str, Any]:
    """How kombu asks the sentinels. One that is away costs a few seconds, not redis-py's many tries."""
    if not address.primary:
        return {}
    asking: dict[str, Any] = {"socket_connect_timeout": SENTINEL_SECONDS, "socket_timeout": SENTINEL_SECONDS}
    asking |= {"retry": Retry(NoBackoff(), 0), **address.sentinel_login}
    if address.tls is not None:
        asking |= {"ssl": True, **address.tls}
    return {"master_name": address.primary, "sentinel_kwargs": asking}
