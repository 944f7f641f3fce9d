-- Moves jobs and deliveries whose time has come into Celery. Any number of processes may run it at any time.
-- A job comes back a lease later unless a worker records a step: whatever is lost on the way is only late.
-- Thousands may wait until one and the same deadline: those that only have to be ended get no message, which would stand
-- before callbacks and polls, but a way out of their own (overdue.lua).
--
-- ARGV  template, prefix, lease_ms, at most
-- Reply {now, jobs moved, deliveries moved, ms until the next one is due or -1}
-- @include queue
redis.call('HSET', KEY.clock, 'seen', now)
local template, prefix, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local TASKS = {queued = 'rescue', submitting = 'rescue', unknown = 'rescue', processing = 'poll', storing = 'collect'}
local QUEUES = {submit = 'submit', poll = 'settle', collect = 'collect', rescue = 'settle'}
local heads = {}
for _, queue in ipairs({'submit', 'settle', 'collect', 'tell'}) do heads[queue] = oldest(prefix, queue) end

-- A job that only waits for its worker keeps its place: taken from it, it would stand nowhere.
local function give_back_overdue(name)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.places .. name, '-inf', now, 'LIMIT', 0, most)) do
    local waits = redis.call('HGET', KEY.job .. id, 'status') == 'queued'
    if waits then redis.call('ZADD', KEY.places .. name, now + PLACE_LEASE_MS, id) else release(id, name) end
  end
end

local KEY_FORGOTTEN_MS, KEY_KEPT_SECONDS = 600000, 30 * 86400

-- A key that left the configuration leaves the queue and the metrics. What was learned of it, and what an operator has
-- set, is kept: it may only be a night without workers.
local function forget_unused(name)
  local seen = tonumber(redis.call('HGET', KEY.upstream .. name, 'seen'))
  if seen and now - seen > KEY_FORGOTTEN_MS and redis.call('EXISTS', KEY.places .. name) == 0 then
    redis.call('SREM', KEY.upstreams, name)
    redis.call('EXPIRE', KEY.upstream .. name, KEY_KEPT_SECONDS)
  end
end

-- An idle tenant starts at the queue's clock: a time before that tells nothing. A page at a time.
local function forget_idle_tenants()
  local clock = tonumber(redis.call('GET', KEY.fair_clock) or 0)
  local page = redis.call('HSCAN', KEY.fair_time, redis.call('GET', KEY.fair_swept) or '0', 'COUNT', 100)
  redis.call('SET', KEY.fair_swept, page[1])
  for at = 1, #page[2], 2 do
    if tonumber(page[2][at + 1]) <= clock and redis.call('HEXISTS', KEY.backlogs, page[2][at]) == 0 then
      redis.call('HDEL', KEY.fair_time, page[2][at])
    end
  end
end

local moved = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.due, '-inf', now, 'LIMIT', 0, most)) do
  local job = redis.call('HMGET', KEY.job .. id, 'status', 'place', 'pushed', 'deadline', 'tenant', 'lined_up', 'inbox_read')
  local deadline = tonumber(job[4] or 0)
  redis.call('ZADD', KEY.due, deadline > now and math.min(now + lease, deadline) or now + lease, id)
  if not job[1] then
    redis.call('ZREM', KEY.due, id)
  elseif deadline <= now and not job[2] and (job[1] == 'queued' or job[1] == 'unknown') then
    redis.call('ZADD', KEY.overdue_of .. job[5], 'NX', deadline, id)
    redis.call('ZADD', KEY.overdue, 'NX', now, job[5])
  elseif job[1] == 'queued' and not job[2] and redis.call('LLEN', KEY.inbox .. id) <= tonumber(job[7] or 0) then
    redis.call('ZADD', KEY.due, deadline, id) -- it waits for a place: who gives it one books a lease (queue.lua)
  else
    local overdue = deadline <= now
    local task = job[1] == 'queued' and job[2] and not overdue and 'submit' or TASKS[job[1]] or 'rescue'
    if overdue and job[1] == 'storing' then task = 'rescue' end -- an end never stands behind downloads
    local queue, pushed = QUEUES[task], tonumber(job[3] or 0)
    -- its message may still wait in a long list: only one older than the oldest there is known to be lost;
    -- a job that must end is not kept waiting by it
    if not (heads[queue] and heads[queue] <= pushed) or (overdue and (job[1] == 'queued' or job[1] == 'storing')) then
      -- one that stands in line waits for others: that kills no worker
      if not job[6] then redis.call('HINCRBY', KEY.job .. id, 'stalls', 1) end
      redis.call('HSET', KEY.job .. id, 'pushed', now)
      push(template, prefix, queue, task, id)
      moved = moved + 1
    end
  end
end

local told = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.deliveries_due, '-inf', now, 'LIMIT', 0, most)) do
  local row, head = redis.call('HMGET', KEY.delivery .. id, 'job', 'pushed'), heads.tell
  redis.call('ZADD', KEY.deliveries_due, now + lease, id)
  if not row[1] then
    redis.call('ZREM', KEY.deliveries_due, id)
  elseif not (head and head <= tonumber(row[2] or 0)) then
    redis.call('HSET', KEY.delivery .. id, 'pushed', now)
    push(template, prefix, 'tell', 'tell', id)
    told = told + 1
  end
end

for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
  give_back_overdue(name)
  -- a probe that is gone without a word proves nothing, and must not keep others from being tried
  local probing = redis.call('HGET', KEY.upstream .. name, 'probing')
  if probing and probing ~= '' and not redis.call('ZSCORE', KEY.places .. name, probing) then
    redis.call('HDEL', KEY.upstream .. name, 'probing')
  end
  forget_unused(name)
end
forget_idle_tenants()
pump(template, prefix, lease)
local next_due = redis.call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')[2]
return {now, moved, told, next_due and math.max(0, tonumber(next_due) - now) or -1}
