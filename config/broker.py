"""Celery's options, each with its reason. Measured on celery 5.6.3, kombu 5.7.0, redis-py 8.1.0."""

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from config.redis_address import RedisAddress, parse_redis_address

KEY_PREFIX = "{darkroom}celery:"
"""Before Celery's own keys, so that they never meet ours. The tag keeps them in one slot, as a cluster wants it."""
OLD_KEY_PREFIX = "celery:"
"""Where a version before this one left its messages."""

QUEUES = ("submit", "settle", "collect", "tell")
"""Each is worked on by a process of its own, the role of that name: none ever waits for what another waits for."""


def celery_options(redis_url: str) -> dict[str, Any]:
    """The configuration of the Celery application for that Redis."""
    address = parse_redis_address(redis_url)
    return {
        "broker_url": address.broker_url,
        # with options always: without any, kombu takes rediss:// to mean that no certificate is looked at
        "broker_use_ssl": dict(address.tls) if address.tls is not None else False,
        # the job's record is the result; a result backend would keep arguments and errors a second time
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_backend_thread_safe": True,  # 5.6 scans entry points once a thread without it
        # a message is only a wake-up: a redelivered one could POST again, a lost one is found by its due time
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        # coroutines; it takes a message when there is room for it (worker/running/celery_pool.py)
        "worker_pool": "worker.running.celery_pool:CoroutinePool",
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # for ever: the default gives up after 100
        "broker_transport_options": {
            "global_keyprefix": KEY_PREFIX,
            "body_encoding": "utf-8",  # plain JSON, so that a script can put a job id into a message
            # nothing is noted of a message that was taken: that saves two writes and their fsyncs, and a full Redis
            # would refuse them and stop the worker. What a killed worker had taken is found by its due time
            "ack_emulation": False,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "max_connections": 200,
        }
        | _sentinel_options(address),
        "task_serializer": "json",
        "accept_content": ["json"],  # never pickle: who can write to Redis must not run code here
        "task_default_queue": "settle",
        "task_routes": {f"darkroom.{queue}": {"queue": queue} for queue in QUEUES},  # whoever calls a task by hand
        "task_create_missing_queues": True,
        "task_send_sent_event": False,
        "worker_send_task_events": True,  # Flower; about 1 ms of CPU a task
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }


SENTINEL_SECONDS = 2.0


def _sentinel_options(address: RedisAddress) -> dict[str, Any]:
    """How kombu asks the sentinels. One that is away costs it seconds, not redis-py's many tries, before the next."""
    if not address.primary:
        return {}
    asking: dict[str, Any] = {"socket_connect_timeout": SENTINEL_SECONDS, "socket_timeout": SENTINEL_SECONDS}
    asking |= {"retry": Retry(NoBackoff(), 0), **address.sentinel_login}
    if address.tls is not None:
        asking |= {"ssl": True, **address.tls}
    return {"master_name": address.primary, "sentinel_kwargs": asking}
