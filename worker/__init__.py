"""The engine: what a job is and everything that happens to it.

May import config, never api. The door (api) imports the light half of this package: the record, the store,
the signatures, the messages; a linter keeps it away from the tasks, the lifecycle and the upstream client.
Read job.py first, then decisions.py, then lifecycle.py.
"""
