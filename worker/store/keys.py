"""The map of Redis: every family of keys that we write or read, what it holds, and how long it lives.

No key name is written anywhere else: Python makes it from its family (`JOB(job_id)`, `DUE()`), and Lua names the
family. A test fails if it leaves a key that belongs to no family, or that outlives its job
(tests/support/key_leaks.py). docs/redis.md is generated from this file.
"""
# fmt: off

from collections.abc import Mapping

from config.broker import KEY_PREFIX, OLD_KEY_PREFIX
from worker.store.key_family import Family, Life, Type

STRING, HASH, LIST, SET, ZSET, ANY = Type

# Jobs
JOB = Family("job:<job>", HASH, Life.JOB,
    "the record: version status tenant order doc timeline rank deadline open spent bytes | priority (5 if absent) "
    "place placed claimed doubt (nobody knows whether its POST was taken) pushed stalls inbox_read collector lined_up "
    "heard (a mark of each callback)",
    bound="removed after DARKROOM_RETENTION_SECONDS, or by DELETE")
INBOX = Family("inbox:<job>", LIST, Life.JOB,
    "callbacks as they came: '<ms> <attempt> <body>', the oldest first")
JOBS = Family("jobs:<tenant>", ZSET, Life.JOB,
    "job id → when it was accepted, in ms")
REQUEST = Family("request:<server>:<request_id>", STRING, Life.TTL,
    "track_id of the attempt with that request id; 'shared': the upstream gave the id twice; 'gone': its job was "
    "removed")
IDEMPOTENCY = Family("idempotency:<tenant>:<row>", STRING, Life.TTL,
    "'<fingerprint> <job id>,<job id>…': the jobs that were accepted with that Idempotency-Key")
ORPHANS = Family("orphans", LIST, Life.TTL,
    "callbacks whose job was not known, as JSON, the newest first", bound="the newest 256, of 16 KiB at most")
ORPHANS_OF = Family("orphans:<job>", STRING, Life.TTL,
    "a mark of each orphan of that job")
REMOVED = Family("removed", ZSET, Life.TTL,
    "job id → ms until which a callback for that removed job could be taken for an orphan")
FINISHED = Family("finished", ZSET, Life.JOB,
    "job id → when it ended, in ms; later while its removal is tried, so that it is due again after a crash")
TOMBSTONES = Family("tombstones", ZSET, Life.EMPTY,
    "folder of a removed job → ms at which the sweep removes it (again)")
REMOVALS_FAILING = Family("removals:failing", HASH, Life.EMPTY,
    "'<index> <name>' → how often in a row it could not be removed")

# Due times
DUE = Family("due", ZSET, Life.JOB,
    "job id → ms at which a worker must look at it; every job that can still change is in it")
OVERDUE = Family("overdue", ZSET, Life.EMPTY,
    "tenant → ms at which it was last served; tenants with jobs that waited until their deadline")
OVERDUE_OF = Family("overdue:<tenant>", ZSET, Life.JOB,
    "job id → its deadline; those jobs, until a worker takes them to end them")

# Messages on their way to Celery: worker/store/lua, outbox
OUTBOXES = Family("outboxes:<queue>", ZSET, Life.EMPTY,
    "tenant → ms at which it was last served; tenants whose messages wait because the queue's list is long")
OUTBOX = Family("outbox:<queue>:<tenant>", ZSET, Life.EMPTY,
    "'<task> <id>' → since when that message waits; in turn with those of other tenants it goes into the list")

# The queue: worker/store/lua, queue and standing
BACKLOG = Family("backlog:<tenant>", ZSET, Life.JOB,
    "job id → rank; jobs of one tenant that wait for a place")
BACKLOGS = Family("backlogs", HASH, Life.EMPTY,
    "tenant → how many jobs are in its backlog; only tenants with one")
WAITING = Family("waiting", STRING, Life.PERMANENT,
    "how many jobs are in all backlogs", bound="one number")
FAIR = Family("fair", ZSET, Life.EMPTY,
    "tenant → when it is served next in virtual time, less the head start of its first job")
FAIR_TIME = Family("fair:time", HASH, Life.EMPTY,
    "tenant → virtual time: the sum of the turns of its served jobs; removed when the queue's virtual time is "
    "later")
FAIR_CLOCK = Family("fair:clock", STRING, Life.PERMANENT,
    "virtual time of the queue; a tenant that was idle starts here", bound="one number")
FAIR_SWEPT = Family("fair:swept", STRING, Life.PERMANENT,
    "where the last search for tenants to remove from `fair:time` has ended", bound="one number")
FAIR_WEIGHTS = Family("fair:weights", HASH, Life.PERMANENT,
    "tenant → weight (1 if absent)", bound="set by an operator")
FAIR_LINE = Family("fair:line", STRING, Life.TTL,
    "the tenants served next, packed; only where there are many")
PAUSED = Family("paused", STRING, Life.PERMANENT,
    "why an operator has stopped everything; nothing is handed out while it is there",
    bound="until an operator resumes")
STORE_AWAY = Family("store:away", STRING, Life.TTL,
    "why the image store cannot be written; nothing is handed out while it is there")

# Accounts at the upstream
UPSTREAMS = Family("upstreams", SET, Life.PERMANENT,
    "names of the accounts; one that no worker has had for ten minutes leaves once it holds nothing",
    bound="one an account")
UPSTREAM = Family("upstream:<account>", HASH, Life.PERMANENT,
    "limit learned seen | override drained paused_until reason probe_at window probing round failures strains "
    "tripped_at: of its circuit breaker; full full_at: its queue was full so often in a row, last then; tried: "
    "the one job that is out while it was down or full; of: the one tenant that this concerns ('': all); works: "
    "another tenant's job was taken since; uncut, cut_of: the limit for all but the tenant on whose word it was cut",
    bound="one an account; a month after that has left `upstreams`")
PLACES = Family("places:<account>", ZSET, Life.EMPTY,
    "job id → ms at which its place is freed by its lease; for an attempt beside which another was sent, its "
    "track_id")
FLOW = Family("flow", HASH, Life.TTL,
    "recent durations in ms: hold_ms → how long a place was held, done_ms → from a job's place to its end")
QUICKEST = Family("quickest:<tenant>", STRING, Life.TTL,
    "ms from intent to end of its quickest recent job")

# Tenants
TENANTS = Family("tenants", SET, Life.PERMANENT,
    "names of the tenants that ever had a job, or for which something is set", bound="one a tenant")
TENANT = Family("tenant:<tenant>", HASH, Life.PERMANENT,
    "paused rate burst waiting images_day images_month bytes: what an operator has set", bound="one a tenant")
RATE = Family("rate:<tenant>", STRING, Life.TTL,
    "when its requests will have used up their rate, in ms (GCRA's theoretical arrival time)")
USAGE = Family("usage:<tenant>:<day>", HASH, Life.TTL,
    "open, spent → images of the jobs accepted on that day (UTC)")
BYTES = Family("bytes", HASH, Life.EMPTY,
    "tenant → bytes that its jobs use: the sum of `bytes` over its records")
KEY_ROWS = Family("key_rows:<tenant>", HASH, Life.TTL,
    "total; hour since 1970 → bytes of the rows in `idempotency:` that were written in it")
ROOM = Family("room", HASH, Life.TTL,
    "left → bytes that may be accepted until Redis' memory is looked at again; beyond → free bytes beyond these; "
    "limits: whether there is a maxmemory")
API_KEYS = Family("keys", HASH, Life.PERMANENT,
    "SHA-256 of an API key, in hex → its id, tenant, scopes, name, times, as JSON",
    bound="5,000, made and revoked by an operator")
API_KEYS_VERSION = Family("keys:version", STRING, Life.PERMANENT,
    "changes with every change of keys; a copy with another version is read again", bound="one word")

# Places and lines: collecting images, webhook deliveries (worker/store/lua, lines)
COLLECTING = Family("collecting:<tenant>", ZSET, Life.EMPTY,
    "job id → ms at which its worker counts as dead")
WINDOW = Family("window:<tenant>", STRING, Life.TTL,
    "how many of its jobs may be collected at once; halved by images that are too slow")
TELLING = Family("telling:<lane>", ZSET, Life.TTL,
    "delivery id → ms at which its place is freed by its lease; a lane is an endpoint, a tenant, a tenant's "
    "endpoints that have not answered, a host, or a pair of the two")
LINE = Family("line:<kind>:<line>", ZSET, Life.JOB,
    "id of a job or delivery → since when it waits for a place")
TURNS = Family("turns:<kind>:<lane>", ZSET, Life.EMPTY,
    "lane or line below it → its turn; only those in which something waits")
LINES = Family("lines:<kind>", ZSET, Life.EMPTY,
    "line → ms at which it is checked, in case a worker died with a place")

# Deliveries
DELIVERY = Family("delivery:<delivery>", HASH, Life.JOB,
    "job tenant state created_at pushed tries attempts | not_before claimed_until endpoint round (tries before "
    "the last replay) line")
DELIVERIES = Family("deliveries:<job>", LIST, Life.JOB,
    "ids of a job's deliveries, the oldest first")
DELIVERIES_DUE = Family("deliveries:due", ZSET, Life.JOB,
    "delivery id → ms at which a worker must look at it; every pending one is in it")
DELIVERIES_OF = Family("deliveries:tenant:<tenant>", ZSET, Life.JOB,
    "delivery id → when it was made, in ms")
DELIVERIES_COUNTS = Family("deliveries:counts", HASH, Life.PERMANENT,
    "state → deliveries", bound="one a state")
ENDPOINTS = Family("endpoints:<tenant>", ZSET, Life.PERMANENT,
    "endpoint id → when it was last used, in ms", bound="the newest 1,000")
ENDPOINT = Family("endpoint:<tenant>:<endpoint>", HASH, Life.PERMANENT,
    "url told_at failed_at failing_since failures hung (time-outs in a row) | disabled_at reason",
    bound="as long as it is in `endpoints:<tenant>`")
REPLAYS = Family("replays:<tenant>", STRING, Life.TTL,
    "when the last delivery of a bulk replay is due, in ms")
WEBHOOK_SECRET = Family("webhook_secret", STRING, Life.PERMANENT,
    "the secret that signs for tenants without their own, if none is configured", bound="one")
WEBHOOK_SECRETS = Family("webhook_secret:<tenant>", ZSET, Life.PERMANENT,
    "secret → ms until which it signs; +inf for the newest", bound="5 a tenant")

# The installation
INSTALLATION = Family("installation", STRING, Life.PERMANENT,
    "the id that the image store has as well", bound="one")
WORKERS = Family("workers", ZSET, Life.EMPTY,
    "'<host>:<pid>' of a worker process → its last heartbeat, in ms")
READY = Family("ready", STRING, Life.TTL,
    "what /readyz has written last, to see that Redis can be written")
CLOCK = Family("clock", HASH, Life.PERMANENT,
    "ahead since seen | steps last_step stepped_at: what `now` is ahead of Redis' clock", bound="one")
TAKERS = Family("takers", HASH, Life.PERMANENT,
    "queue → when a worker process last looked whether there is a message, in ms", bound="one a queue")
PARKED = Family("parked", LIST, Life.PERMANENT,
    "messages that were taken from a queue and are not ours, as JSON: at, queue, why, bytes, head (its beginning in "
    "base64); the newest first", bound="the newest 1,000, of each the first 2,048 bytes")
PARKED_COUNTS = Family("parked:counts", HASH, Life.PERMANENT,
    "'<queue> <why>' → how many such messages there were", bound="one a pair")
COUNTS = Family("counts", HASH, Life.PERMANENT,
    "status → jobs", bound="one a status")
STATS = Family("stats", HASH, Life.PERMANENT,
    "'<status> <cause>' → how often a step with that cause left a job in that status", bound="one a pair")
HEALTH = Family("health:<minute>", HASH, Life.TTL,
    "callback, poll → results that came that way")
AUDIT = Family("audit", HASH, Life.PERMANENT,
    "findings, at: what the last `darkroom audit` found", bound="one")

# Celery's. A queue is a list under its name; a script pushes into it with the template that kombu made
CELERY = Family(f"{KEY_PREFIX}<name>", ANY, Life.THEIRS,
    "lists of messages under the names of the queues, bindings, control")
OLD_CELERY = Family(f"{OLD_KEY_PREFIX}<name>", ANY, Life.THEIRS,
    "the same, of an older version; messages are moved to the present keys")

# fmt: on
FAMILIES: Mapping[str, Family] = {
    name.lower(): each for name, each in vars().copy().items() if isinstance(each, Family)
}
"""All families by name (the constant in small letters), so that none can be forgotten."""

KEYS: Mapping[str, str] = {name: each.prefix for name, each in FAMILIES.items()}
"""`KEY.<name>` in a Lua script becomes this text. If it ends with a colon, the first variable part follows."""


def family_of(key: str) -> Family | None:
    """The family of a key: of all that match, the one with the longest constant part."""
    fitting = (each for each in FAMILIES.values() if each.matches(key))
    return max(fitting, key=lambda each: len(each.prefix), default=None)
