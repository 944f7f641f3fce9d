"""The engine: what a job is and everything that happens to it.

May import config, never api. The API imports the light half of this package: the record, the store, the signatures, the
messages. Import contracts keep it away from the tasks, the lifecycle and the upstream client. The reading order is in
docs/architecture.md.
"""
