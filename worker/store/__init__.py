"""Everything that speaks to Redis: the connection, the scripts, the job records, the queue, API keys and messages."""
