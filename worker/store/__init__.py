"""Everything that talks to Redis: the connection, the scripts, job records, the queue, API keys, Celery messages."""
