"""How a worker process runs: Celery's pool and events, the event loop beside it."""
