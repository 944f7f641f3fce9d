-- Put before every script that writes: Celery messages out of one template, and the counters.
--
-- job:<id>            HASH  version status tenant order doc timeline rank deadline open spent
--                           | priority (5 if absent) place placed claimed pushed stalls inbox_read
--                           collector lined_up (lua/includes/collecting.lua)
--                           | timeline: lua/includes/timeline.lua
-- due                 ZSET  job id → ms at which somebody must look at it; every job that can still move is in it
-- overdue             ZSET  tenant → ms at which it was last served; only tenants of whom jobs waited past their deadline
-- overdue:<tenant>    ZSET  job id → its deadline; those jobs, until a worker takes them to end them
-- backlog:<tenant>    ZSET  job id → rank; jobs of one tenant that wait for a place
-- backlogs            HASH  tenant → how many jobs are in its backlog; only tenants with one
-- fair                ZSET  tenant → when it is served next in virtual time, less the head start of its first job
-- fair:time           HASH  tenant → virtual time: its jobs served, in turns as long as its weight makes them; forgotten
--                           once the queue's is later
-- fair:swept          STR   where the last look for such tenants has ended
-- fair:clock          STR   virtual time of the queue; a tenant that was idle starts here
-- fair:weights        HASH  tenant → weight (1 if absent)
-- fair:line           STR   the tenants served next, packed, for a quarter of a second; only where there are many
-- waiting             STR   how many jobs are in all backlogs
-- finished            ZSET  job id → when it ended; one that is just being forgotten is moved up, so that it comes back
-- tombstones          ZSET  folder of a forgotten job → ms at which it is removed (again)
-- removals:failing    HASH  '<index> <name>' → how often in a row it could not be removed
-- upstreams           SET   names of the upstream keys; one that no worker has had for ten minutes leaves once it holds
--                           nothing, and what is known of it a month later
-- upstream:<name>     HASH  limit learned seen | override drained paused_until reason probe_at window probing round
--                           failures strains tripped_at: of its breaker; full full_at: its queue was full so often in a
--                           row, last then; tried: the one job that is out while it was down or full
-- places:<name>       ZSET  job id → ms at which the place is given back by itself; or the track_id of an attempt that
--                           another was sent beside
-- flow                HASH  of late, in ms; gone where nothing was learned for ten minutes: hold_ms → how long a place was held,
--                           done_ms → from a job's place to its end
-- quickest:<tenant>   STR   ms from an intent to the end that its quickest job took of late; gone after ten minutes
-- request:<server>:<id>  STR   track_id of the attempt that the upstream gave that id to, 'shared' where it gave it twice,
--                           'gone' once that job is forgotten
-- paused              STR   why an operator has stopped everything; nothing is handed out while it is there
-- tenants             SET   names of the tenants that have ever accepted a job, or for whom something is set
-- tenant:<name>       HASH  paused rate burst waiting images_day images_month → what an operator has set
-- rate:<tenant>       STR   when its requests will have used up their rate, in ms (GCRA's theoretical arrival time)
-- usage:<tenant>:<day>     HASH  open, spent → images of the jobs accepted on that day (UTC)
-- store:away          STR   why the image store cannot be written; nothing is handed out while it is there
-- keys                HASH  SHA-256 of an API key, in hex → its id, tenant, scopes, name, times, as JSON
-- keys:version        STR   another one after every change of keys: a copy of another version is read anew
-- health:<minute>     HASH  callback, poll → results that came that way; kept for an hour
-- clock               HASH  what `now` is ahead of Redis' clock: clock.lua
-- counts              HASH  status → jobs
-- stats               HASH  '<status> <cause>' → how often a step with that cause left a job in that status
-- Queues are Celery's own lists; a message is pushed here only with the template that kombu made.

-- `template` is a JSON array of texts: literal, name of what goes between, literal, … Cut once, by whoever calls.
local parts
local function push(template, prefix, queue, task, id)
  parts = parts or cjson.decode(template)
  local fills = {uuid = id .. '-' .. task .. '-' .. now, task = 'darkroom.' .. task, queue = queue, id = id}
  local message = {}
  for at = 1, #parts do message[at] = at % 2 == 1 and parts[at] or fills[parts[at]] end
  redis.call('LPUSH', prefix .. queue, table.concat(message))
end

-- When the oldest message of a queue was pushed; nil where it is empty.
local function oldest(prefix, queue)
  local message = redis.call('LINDEX', prefix .. queue, -1)
  return message and tonumber(message:match('%-%a+%-(%d+)"'))
end

local function note_health(channel)
  local minute = 'health:' .. math.floor(now / 60000)
  redis.call('HINCRBY', minute, channel, 1)
  redis.call('EXPIRE', minute, 3600)
end

-- Whether a worker has that upstream key in its configuration: each says so every few seconds.
local function is_seen(seen)
  return not seen or now - tonumber(seen) < 30000
end

local function count(status, by)
  redis.call('HINCRBY', 'counts', status, by)
end
