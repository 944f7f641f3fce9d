-- Writes one step: compare-and-set on the version, and in the same transaction the timeline row, the due time, the
-- place upstream, the news about the account, the Celery message and the webhook delivery. A terminal status is left
-- only for `succeeded`. Arguments and reply: worker/store/advancing.py.
-- @include budget
-- @include governor
-- @include memory
-- @include outbox
-- @include timeline

local key = KEY.job .. job_id
local its_version, from, tenant, place, rank, timeline, was_open, was_spent, placed, claimed, counted = unpack(
  redis.call('HMGET', key, 'version', 'status', 'tenant', 'place', 'rank', 'timeline', 'open', 'spent', 'placed',
    'claimed', 'bytes'))
if tonumber(its_version) ~= version then return reply{done = false} end
local ended = status == 'succeeded' or status == 'failed' or status == 'cancelled' or status == 'expired'

-- a callback that came during the claim may hold the result: the next worker that takes the job's message reads it
-- before anything is bought
if cause == 'intent' and redis.call('LLEN', KEY.inbox .. job_id) > inbox_read then
  redis.call('HSET', key, 'pushed', now)
  push(template, prefix, 'submit', 'submit', job_id)
  return reply{done = false}
end

local more_open, more_spent = images_open - (was_open or 0), images_spent - (was_spent or 0)
if buys_again then
  local own_day, own_month = unpack(redis.call('HMGET', KEY.tenant .. tenant, 'images_day', 'images_month'))
  local a_day, a_month = limit_of(own_day, images_day), limit_of(own_month, images_month)
  local over = over_budget(tenant, day, more_open + more_spent, a_day, a_month)
  if over then return reply{done = false, refused_by = over} end
end

local longer = from ~= status and with_row(timeline, timeline_row) or timeline
grow(job_id, tenant, counted, #doc - redis.call('HSTRLEN', key, 'doc') + #longer - #timeline
  + (delivery_id ~= '' and DELIVERY_BYTES or 0))
redis.call('HSET', key, 'version', version + 1, 'status', status, 'doc', doc, 'inbox_read', inbox_read,
  'open', images_open, 'spent', images_spent)
redis.call('HDEL', key, 'stalls')
if ended then redis.call('HDEL', key, 'claimed') end
if ended and (frees_place or not place) then redis.call('HDEL', key, 'placed') end
if cause == 'intent' then redis.call('HSET', key, 'claimed', now) end
if more_open ~= 0 or more_spent ~= 0 then book(tenant, day, more_open, more_spent) end

if not due_in then
  redis.call('ZREM', KEY.due, job_id)
else
  -- counted from now, although it was decided a moment ago; but an open job is due at its deadline at the latest
  local at, deadline = now + due_in, tonumber(redis.call('HGET', key, 'deadline') or math.huge)
  -- the decision may have seen the job waiting; if it has got its place since, that message may be lost
  if status == 'queued' and place and not frees_place then at = math.min(at, now + lease_ms) end
  if not ended then at = math.min(at, math.max(now, deadline)) end
  redis.call('ZADD', KEY.due, at, job_id)
end

-- an id that the upstream gives twice belongs to nobody: neither job is polled by it any more
if request_key ~= '' then
  local owner = redis.call('GET', request_key)
  local is_shared = owner and owner ~= track_id
  if is_shared then redis.call('HINCRBY', KEY.stats, status .. ' shared_id', 1) end
  redis.call('SET', request_key, is_shared and 'shared' or track_id,
    'PX', math.max(request_ms, redis.call('PTTL', request_key)))
end

-- before the place is freed, because the answer proves how many places the account held
if news == 'ok' then
  heal(account, tenant, placed)
  learn_more(account, tenant, job_id)
elseif news == 'heard' then
  hear(account, tenant, placed)
end
local refused = news == 'busy' or news == 'refused' or news == 'down'
local probed, tried = false, false
if refused then
  local probing, trying = unpack(redis.call('HMGET', KEY.upstream .. account, 'probing', 'tried'))
  probed, tried = probing == job_id, trying == job_id
end
if buys_again and place then keep_beside(job_id, timeline_row:match('(%d+)%]$'), place) end
for _, over in ipairs(given_back) do redis.call('ZREM', KEY.places .. over.account, over.track_id) end
local held = frees_place and place and release(job_id, place)
-- the upstream's part was ended by an answer, a callback or a poll
local heard = cause == 'answer' or cause == 'callback' or cause == 'poll'
if held and heard and placed and not refused then smooth('hold_ms', now - placed) end

if from ~= status then
  redis.call('HSET', key, 'timeline', longer)
  count(from, -1)
  count(status, 1)
  if from == 'queued' then dequeue(job_id, tenant) end
  redis.call('PUBLISH', 'events', job_id .. ' ' .. status)
  if from == 'storing' and status == 'succeeded' then
    if placed then smooth('done_ms', now - placed) end
    if claimed then note_quickest(tenant, now - claimed) end
  end
  if cause == 'no_time' then doubt_quickest(tenant) end
end
redis.call('HINCRBY', KEY.stats, status .. ' ' .. cause, 1)

if status == 'queued' and frees_place then
  if (news == 'refused' or cause == 'key_refused') and tried then
    -- it was the probe, and the account may have been refused because of this request: it goes behind the others, so
    -- that it is not every probe
    rank = now
    redis.call('HSET', key, 'rank', rank)
  end
  enqueue(job_id, tenant, rank)
end
if status == 'storing' and cause == 'poll' and from ~= status then note_health('poll') end
if collects then
  redis.call('HSET', key, 'pushed', now)
  push_in_turn(template, prefix, 'collect', 'collect', job_id, tenant)
end
if delivery_id ~= '' then
  redis.call('HSET', KEY.delivery .. delivery_id, 'job', job_id, 'tenant', tenant, 'state', 'pending',
    'created_at', now, 'pushed', now)
  redis.call('RPUSH', KEY.deliveries .. job_id, delivery_id)
  redis.call('ZADD', KEY.deliveries_of .. tenant, now, delivery_id)
  redis.call('HINCRBY', KEY.deliveries_counts, 'pending', 1)
  redis.call('ZADD', KEY.deliveries_due, now + lease_ms, delivery_id)
  push_in_turn(template, prefix, 'tell', 'tell', delivery_id, tenant)
end
if place and not frees_place then
  if news == 'shaky' then redis.call('HSET', key, 'doubt', 1) end
  if ended or status == 'unknown' then
    give_back_later(job_id, place)
  elseif from == 'unknown' then
    redis.call('ZADD', KEY.places .. place, 'XX', now + PLACE_LEASE_MS, job_id) -- known again
    redis.call('HDEL', key, 'doubt')
  end
end
if ended then redis.call('ZADD', KEY.finished, 'NX', now, job_id) end

if news == 'busy' then
  learn_less(account, tenant, placed, probed, pause_ms, jitter)
elseif news == 'shaky' then
  strain(account, tenant, job_id, placed, jitter, reason)
elseif news == 'refused' then
  trip(account, tenant, placed, jitter, reason)
elseif news == 'down' then
  trip(account, nil, placed, jitter, reason)
end
pump(template, prefix, lease_ms)
return reply{done = true}
