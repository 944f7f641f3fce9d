-- Moves due jobs and deliveries into Celery. Any number of processes may run it at any time. A job is due again a lease
-- later unless a worker records a step, so a lost message only delays it. Thousands of jobs may have the same deadline:
-- those that only have to be ended get no message, which would delay callbacks and polls, but are ended by overdue.lua.
-- Arguments and reply: worker/store/queue.py.
-- @include queue
-- @include outbox
redis.call('HSET', KEY.clock, 'seen', now)
local TASKS = {queued = 'rescue', submitting = 'rescue', unknown = 'rescue', processing = 'poll', storing = 'collect'}
local QUEUES = {submit = 'submit', poll = 'settle', collect = 'collect', rescue = 'settle'}
local heads = {}
for _, queue in ipairs({'submit', 'settle', 'collect', 'tell'}) do heads[queue] = oldest(prefix, queue) end

-- A queued job that waits for its worker keeps its place; without it, it would be in no queue.
local function give_back_overdue(name)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.places .. name, '-inf', now, 'LIMIT', 0, most)) do
    local waits = redis.call('HGET', KEY.job .. id, 'status') == 'queued'
    if waits then redis.call('ZADD', KEY.places .. name, now + PLACE_LEASE_MS, id) else release(id, name) end
  end
end

local ACCOUNT_FORGOTTEN_MS, ACCOUNT_KEPT_SECONDS = 600000, 30 * 86400

-- An account that left the configuration leaves the queue and the metrics. What was learned about it, and what an
-- operator has set, is kept: perhaps only no worker runs at night.
local function forget_unused(name)
  local seen = tonumber(redis.call('HGET', KEY.upstream .. name, 'seen'))
  if seen and now - seen > ACCOUNT_FORGOTTEN_MS and redis.call('EXISTS', KEY.places .. name) == 0 then
    redis.call('SREM', KEY.upstreams, name)
    redis.call('EXPIRE', KEY.upstream .. name, ACCOUNT_KEPT_SECONDS)
  end
end

-- An idle tenant starts at the queue's clock, so an older virtual time is not needed. A page at a time.
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

-- The task that a due job needs, and so its Celery queue.
local function task_for(status, place, is_overdue)
  if status == 'queued' and place and not is_overdue then return 'submit' end
  if status == 'storing' and is_overdue then return 'rescue' end -- the end of a job must not wait for downloads
  return TASKS[status] or 'rescue'
end

local jobs = 0
local function wake(id)
  local status, place, pushed, deadline, tenant, lined_up, inbox_read = unpack(redis.call('HMGET', KEY.job .. id,
    'status', 'place', 'pushed', 'deadline', 'tenant', 'lined_up', 'inbox_read'))
  deadline = tonumber(deadline or 0)
  local is_overdue = deadline <= now
  redis.call('ZADD', KEY.due, is_overdue and now + lease_ms or math.min(now + lease_ms, deadline), id)
  if not status then
    redis.call('ZREM', KEY.due, id)
  elseif is_overdue and not place and (status == 'queued' or status == 'unknown') then
    hand_to_its_end(id, tenant, deadline)
  elseif status == 'queued' and not place and redis.call('LLEN', KEY.inbox .. id) <= tonumber(inbox_read or 0) then
    -- it waits for a place; getting one makes it due a lease later (includes/queue.lua)
    redis.call('ZADD', KEY.due, deadline, id)
  else
    local task = task_for(status, place, is_overdue)
    local queue = QUEUES[task]
    -- its message may still be in a long list: it is lost only if it is older than the oldest one there;
    -- a job that must end does not wait for that
    local may_wait = heads[queue] and heads[queue] <= tonumber(pushed or 0) or is_in_outbox(queue, task, id, tenant)
    local must_end = is_overdue and (status == 'queued' or status == 'storing')
    if must_end or not may_wait then
      -- a job in line waits for others, which is no sign that it kills workers
      if not lined_up then redis.call('HINCRBY', KEY.job .. id, 'stalls', 1) end
      redis.call('HSET', KEY.job .. id, 'pushed', now)
      push_in_turn(template, prefix, queue, task, id, tenant)
      jobs = jobs + 1
    end
  end
end

-- One record that no one can read must not keep all others from being woken.
local BROKEN_PAUSE_MS = 3600000
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.due, '-inf', now, 'LIMIT', 0, most)) do
  if not pcall(wake, id) then redis.call('ZADD', KEY.due, now + BROKEN_PAUSE_MS, id) end
end

local deliveries = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.deliveries_due, '-inf', now, 'LIMIT', 0, most)) do
  local job, pushed, tenant = unpack(redis.call('HMGET', KEY.delivery .. id, 'job', 'pushed', 'tenant'))
  redis.call('ZADD', KEY.deliveries_due, now + lease_ms, id)
  if not job then
    redis.call('ZREM', KEY.deliveries_due, id)
  elseif not (heads.tell and heads.tell <= tonumber(pushed or 0)) and not is_in_outbox('tell', 'tell', id, tenant) then
    redis.call('HSET', KEY.delivery .. id, 'pushed', now)
    push_in_turn(template, prefix, 'tell', 'tell', id, tenant)
    deliveries = deliveries + 1
  end
end

for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
  give_back_overdue(name)
  -- a probe without any result proves nothing, and must not block other probes
  local probing = redis.call('HGET', KEY.upstream .. name, 'probing')
  if probing and probing ~= '' and not redis.call('ZSCORE', KEY.places .. name, probing) then
    redis.call('HDEL', KEY.upstream .. name, 'probing')
  end
  forget_unused(name)
end
forget_idle_tenants()
pump(template, prefix, lease_ms)
local next_due = redis.call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')[2]
return reply{
  jobs = jobs, deliveries = deliveries, wait = next_due and math.max(0, tonumber(next_due) - now),
}
