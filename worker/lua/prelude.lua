-- Put before every script: the queue towards the upstream, and Celery messages out of one template.
--
-- job:<id>            HASH  version status tenant order doc timeline rank deadline | place pushed stalls inbox_read
-- due                 ZSET  job id → ms at which somebody must look at it; every job that can still move is in it
-- backlog:<tenant>    ZSET  job id → rank; jobs of one tenant that wait for a place
-- fair                ZSET  tenant → virtual time at which it is served next; only tenants with a backlog
-- fair:clock          STR   virtual time of the tenant served last
-- fair:weights        HASH  tenant → weight (1 if absent)
-- waiting             STR   how many jobs are in all backlogs
-- upstreams           SET   names of the upstream keys
-- upstream:<name>     HASH  limit learned seen | paused_until failures reason probe_at window
-- places:<name>       ZSET  job id → ms at which the place is given back by itself
-- store:away          STR   why the image store cannot be written; nothing is handed out while it is there
-- health:<minute>     HASH  callback, poll → results that came that way; kept for an hour
-- counts              HASH  status → jobs
-- stats               HASH  '<status> <cause>' → how often a step with that cause left a job in that status
-- Queues are Celery's own lists; a message is pushed here only with the template that kombu made.

-- `template` is a JSON array of texts: literal, name of what goes between, literal, … Cut once, by whoever calls.
local cut
local function push(template, prefix, queue, task, id)
  cut = cut or cjson.decode(template)
  local fills = {uuid = id .. '-' .. task .. '-' .. now, task = 'darkroom.' .. task, queue = queue, id = id}
  local message = {}
  for at = 1, #cut do message[at] = at % 2 == 1 and cut[at] or fills[cut[at]] end
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

local function count(status, by)
  redis.call('HINCRBY', 'counts', status, by)
end

local function enqueue(id, tenant, rank)
  if redis.call('ZADD', 'backlog:' .. tenant, rank, id) == 0 then return end
  redis.call('INCR', 'waiting')
  if not redis.call('ZSCORE', 'fair', tenant) then
    -- an idle tenant starts at the clock, not in its past: credit is not saved up
    local served = tonumber(redis.call('HGET', 'fair:served', tenant) or 0)
    local clock = tonumber(redis.call('GET', 'fair:clock') or 0)
    redis.call('ZADD', 'fair', math.max(served, clock), tenant)
  end
end

local function leave_fair(tenant)
  if redis.call('ZCARD', 'backlog:' .. tenant) == 0 then
    local at = redis.call('ZSCORE', 'fair', tenant)
    if at then redis.call('HSET', 'fair:served', tenant, at) end
    redis.call('ZREM', 'fair', tenant)
  end
end

local function dequeue(id, tenant)
  if redis.call('ZREM', 'backlog:' .. tenant, id) == 1 then
    redis.call('DECR', 'waiting')
    leave_fair(tenant)
  end
end

-- The next job by fairness between tenants, then by rank within the tenant.
local function next_waiting()
  local first = redis.call('ZRANGE', 'fair', 0, 0, 'WITHSCORES')
  if not first[1] then return nil end
  local tenant, at = first[1], tonumber(first[2])
  local popped = redis.call('ZPOPMIN', 'backlog:' .. tenant)
  redis.call('SET', 'fair:clock', at)
  local weight = tonumber(redis.call('HGET', 'fair:weights', tenant) or 1)
  redis.call('ZADD', 'fair', at + 1 / weight, tenant)
  if popped[1] then redis.call('DECR', 'waiting') end
  leave_fair(tenant)
  return popped[1] or next_waiting()
end

-- The least loaded upstream key with a free place. A key whose breaker is open is given one probe when its pause is over.
local function free_upstream()
  if redis.call('EXISTS', 'store:away') == 1 then return nil end -- what cannot be stored is not bought
  local best, best_load
  for _, name in ipairs(redis.call('SMEMBERS', 'upstreams')) do
    local key = redis.call('HMGET', 'upstream:' .. name, 'limit', 'paused_until', 'seen')
    -- a key that no worker has in its configuration any more gets nothing
    local configured = not key[3] or now - tonumber(key[3]) < 30000
    if configured and tonumber(key[2] or 0) <= now then
      local held, limit = redis.call('ZCARD', 'places:' .. name), tonumber(key[1] or 1)
      if held < limit and (not best or held / limit < best_load) then
        best, best_load = name, held / limit
      end
    end
  end
  return best
end

local function dispatch(id, name, template, prefix, lease)
  redis.call('ZADD', 'places:' .. name, now + 86400000, id)
  redis.call('HSET', 'job:' .. id, 'place', name, 'pushed', now)
  redis.call('ZADD', 'due', 'LT', now + lease, id)
  push(template, prefix, 'submit', 'submit', id)
  if redis.call('HEXISTS', 'upstream:' .. name, 'failures') == 1 then
    redis.call('HSET', 'upstream:' .. name, 'paused_until', now + lease)
  end
end

-- Hands waiting jobs to Celery while the upstream has places: the only way out of the backlog.
local function pump(template, prefix, lease)
  while redis.call('EXISTS', 'fair') == 1 do
    local name = free_upstream()
    local id = name and next_waiting()
    if not id then return end
    dispatch(id, name, template, prefix, lease)
  end
end
