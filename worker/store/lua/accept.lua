-- Accepts one request or one batch of a tenant: record, idempotency row, budget, place in the queue, Celery message;
-- all or nothing. Safe to run twice with the same ids, so repeating a lost call changes nothing.
-- Arguments and reply: worker/store/admission.py.
-- @include budget
-- @include memory
-- @include standing

local ids, images, bytes = {}, 0, 0
for at, job in ipairs(jobs) do
  ids[at] = job.id
  images = images + job.images
  job.bytes = JOB_BYTES + #job.order + #job.doc + #job.timeline
  bytes = bytes + job.bytes
end
ids = table.concat(ids, ',')
if redis.call('EXISTS', KEY.job .. jobs[1].id) == 1 then return reply{verdict = 'created', ids = ids} end

local print
if idempotency_key ~= '' then
  local older_print
  print, older_print = fingerprint:match('^([^:]*):?(.*)$')
  local earlier = redis.call('GET', idempotency_key)
  if earlier then
    local its_print, its_ids = earlier:match('^(%S+) (.*)$')
    local same = its_print == print or its_print == older_print
    return reply{verdict = same and 'same' or 'mismatch', ids = its_ids}
  end
end

-- Limits that an operator has set for the tenant win over the defaults of the installation.
local own_rate, own_burst, own_waiting, own_day, own_month, own_bytes, tenant_paused = unpack(redis.call('HMGET',
  KEY.tenant .. tenant, 'rate', 'burst', 'waiting', 'images_day', 'images_month', 'bytes', 'paused'))
rate = limit_of(own_rate, rate)
tenant_waiting = limit_of(own_waiting, tenant_waiting)
burst = limit_of(own_burst, burst)
-- a tenant with its own rate does not use the default burst, which belongs to the default rate
if rate and (not burst or (own_rate and not own_burst)) then burst = math.ceil(rate) end

-- No tenant can keep the others out: a tenant with few waiting jobs may exceed the limit a little.
local queued = tonumber(redis.call('HGET', KEY.counts, 'queued') or 0) + #jobs
local is_full = queued > max_waiting
local size = (tenant_waiting or is_full) and tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)
if is_full and (size + #jobs > reserved or queued > max_waiting + reserved) then
  return reply{verdict = 'full', refused_by = {number = 10000, limit = max_waiting, used = 0}}
end
if tenant_waiting and size + #jobs > tenant_waiting then
  return reply{verdict = 'tenant_full', refused_by = {number = 10000, limit = tenant_waiting, used = size}}
end
local over = over_budget(tenant, day, images, limit_of(own_day, images_day), limit_of(own_month, images_month))
if over then return reply{verdict = 'budget', refused_by = over} end

local row_bytes = idempotency_key ~= '' and KEY_ROW_BYTES + #idempotency_key + #ids or 0
local more_bytes, room, is_limit = bytes + row_bytes, nil, false
-- looked at here, not only by the API every two seconds: many large batches could use up the reserve meanwhile
if memory_share > 0 then room, is_limit = take_room(memory_share, more_bytes) end
if is_limit and more_bytes > room then
  return reply{verdict = 'memory', refused_by = {number = 10000, limit = 0, used = 0}}
end
local most_bytes = limit_of(own_bytes, tenant_bytes)
local is_shared = room and shares_memory and not most_bytes and not own_bytes
local held = (most_bytes or is_shared) and bytes_of(tenant)
-- three times what is left free: n tenants that use all they may get 3/(3n+1) each, and another one always finds room
if is_shared then most_bytes = math.max(0, math.floor((held + room) * 3 / 4)) end
if held and held + more_bytes > most_bytes then
  return reply{verdict = 'tenant_memory', refused_by = {number = 10000, limit = most_bytes, used = held}}
end

-- Rate limit by GCRA (a leaky bucket): stores the time at which all requests so far would have passed evenly.
local spacing, arrival, ahead_ms
if rate then
  spacing = 1000 / rate
  arrival = math.max(now, tonumber(redis.call('GET', KEY.rate .. tenant) or 0))
  ahead_ms = arrival - now - (burst - 1) * spacing
  if ahead_ms > 0.001 then
    return reply{verdict = 'rate', refused_by = {number = math.ceil(ahead_ms), limit = math.ceil(rate), used = 0}}
  end
end

local crowd, found
if may_be_late then
  crowd, found = survey(tenant, tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)), pace(tenant)
  for at, job in ipairs(jobs) do
    local own = redis.call('ZCOUNT', KEY.backlog .. tenant, '-inf', job.rank) + at - 1
    local wait = wait_ms(found, jobs_before(crowd, own, job.priority))
    local late = job.refuse_late and wait and found.done and now + wait + found.done - job.deadline
    if late and late > 0 then
      return reply{verdict = 'late', refused_by = {
        number = math.ceil(late), limit = math.ceil(wait + found.done), used = 0,
      }}
    end
  end
end

if idempotency_key ~= '' then
  redis.call('SET', idempotency_key, print .. ' ' .. ids, 'PX', idempotency_ms)
  count_key_row(tenant, row_bytes)
end
if rate then
  -- a batch is accepted if there is room for one request, and then counts with all of its requests
  redis.call('SET', KEY.rate .. tenant, string.format('%.3f', arrival + #jobs * spacing),
    'PX', math.ceil(arrival - now + #jobs * spacing) + 1000)
end
book(tenant, day, images, 0)
redis.call('HINCRBY', KEY.bytes, tenant, bytes)
-- if nobody waits and a place is free, there is no queue
local nobody_waits = not tenant_paused and redis.call('EXISTS', KEY.fair) == 0
local own
for _, job in ipairs(jobs) do
  local key = KEY.job .. job.id
  redis.call('HSET', key, 'version', 1, 'status', 'queued', 'tenant', tenant, 'order', job.order, 'doc', job.doc,
    'timeline', job.timeline, 'rank', job.rank, 'deadline', job.deadline, 'open', job.images, 'spent', 0,
    'bytes', job.bytes)
  if job.priority ~= 5 then redis.call('HSET', key, 'priority', job.priority) end
  redis.call('ZADD', KEY.jobs .. tenant, job.created_at, job.id)
  redis.call('ZADD', KEY.due, job.deadline, job.id)
  local account = nobody_waits and not held_back() and free_account(tenant)
  if account then
    dispatch(job.id, tenant, account, template, prefix, lease_ms)
  else
    nobody_waits = false
    own, size = enqueue(job.id, tenant, job.rank)
  end
end
count('queued', #jobs)
if nobody_waits then return reply{verdict = 'created', ids = ids} end

found = pace(tenant)
local moved = found.free > 0
if moved then
  pump(template, prefix, lease_ms)
  found, size = pace(tenant), tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)
end
crowd = survey(tenant, size)
local places = {}
for at, job in ipairs(jobs) do
  if moved or #jobs > 1 then own = redis.call('ZRANK', KEY.backlog .. tenant, job.id) end
  if own then
    local before = jobs_before(crowd, own, job.priority)
    places[at] = {own_position = own, position = before, wait_ms = not tenant_paused and wait_ms(found, before)}
  else
    places[at] = {position = 0}
  end
end
return reply{verdict = 'created', ids = ids, standing = standing_of(0, 0, crowd, found, tenant_paused), places = places}
