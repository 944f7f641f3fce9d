-- Applies one step: compare-and-set on the version, and with it the timeline row, the due time, the place upstream,
-- the key's news, the Celery message and the delivery to the caller. Terminal statuses are left only for `succeeded`.
--
-- ARGV  template, prefix, lease_ms, id, expected version, status, doc, timeline row or '', due_in_ms or '',
--       collect '1' or '', free place '1' or '', delivery id or '', inbox rows read,
--       key news '' | ok | heard | busy | shaky | down, key name, pause_ms, jitter 0..1, reason, cause,
--       images that may still be bought or are being bought, images that are bought, day of the accept,
--       buys again '1' or ''; then, where nothing else is set for the tenant, images a day and a month, 0 for no limit;
--       index row of a request id that is new or '', the attempt's track_id, ms to keep it,
--       places of earlier attempts that are over: '<key> <track_id> …'
-- Reply {now, 1} or {now, 0} where another writer was quicker
--    or {now, 2, 1 (day) or 2 (month), limit, used} where it buys again what the tenant's budget has no room for
-- @include budget
-- @include governor
-- @include timeline
local template, prefix, lease, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local key, to = KEY.job .. id, ARGV[6]
local job = redis.call('HMGET', key, 'version', 'status', 'tenant', 'place', 'rank', 'timeline', 'open', 'spent', 'placed', 'claimed')
if job[1] ~= ARGV[5] then return {now, 0} end
local from, tenant, place = job[2], job[3], job[4]
local news, frees = ARGV[14], ARGV[11] == '1'
local ended = to == 'succeeded' or to == 'failed' or to == 'cancelled' or to == 'expired'
-- a callback that came while the claim was made may hold the result: it is read before anything is bought, by the next
-- worker that takes the job's message
if ARGV[19] == 'intent' and redis.call('LLEN', KEY.inbox .. id) > tonumber(ARGV[13]) then
  redis.call('HSET', key, 'pushed', now)
  push(template, prefix, 'submit', 'submit', id)
  return {now, 0}
end

local open, spent = ARGV[20] - (job[7] or 0), ARGV[21] - (job[8] or 0)
if ARGV[23] == '1' then
  local set, limits = redis.call('HMGET', KEY.tenant .. tenant, 'images_day', 'images_month'), {}
  for at = 1, 2 do
    local limit = tonumber(set[at] or ARGV[23 + at])
    limits[at] = limit > 0 and limit or nil
  end
  local period, limit, used = beyond_budget(tenant, ARGV[22], open + spent, limits[1], limits[2])
  if period then return {now, 2, period, limit, used} end
end

redis.call('HSET', key, 'version', tonumber(job[1]) + 1, 'status', to, 'doc', ARGV[7], 'inbox_read', ARGV[13],
  'open', ARGV[20], 'spent', ARGV[21])
redis.call('HDEL', key, 'stalls', ended and 'claimed' or 'stalls')
if ended and (frees or not place) then redis.call('HDEL', key, 'placed') end
if ARGV[19] == 'intent' then redis.call('HSET', key, 'claimed', now) end
if open ~= 0 or spent ~= 0 then book(tenant, ARGV[22], open, spent) end
if ARGV[9] == '' then
  redis.call('ZREM', KEY.due, id)
else
  -- decided on a moment ago, and counted from now: an open job is looked at no later than at its deadline all the same
  local at, deadline = now + ARGV[9], tonumber(redis.call('HGET', key, 'deadline') or math.huge)
  -- who decided may have seen it waiting: it has been given its place since, and the message of that may be lost
  if to == 'queued' and place and not frees then at = math.min(at, now + lease) end
  redis.call('ZADD', KEY.due, ended and at or math.min(at, math.max(now, deadline)), id)
end

-- an id that the upstream gives twice is nobody's: neither job is asked for by it any more, as long as either may be
if ARGV[26] ~= '' then
  local owner = redis.call('GET', ARGV[26])
  if owner and owner ~= ARGV[27] then redis.call('HINCRBY', KEY.stats, to .. ' shared_id', 1) end
  redis.call('SET', ARGV[26], (owner or ARGV[27]) == ARGV[27] and ARGV[27] or 'shared', 'PX',
    math.max(tonumber(ARGV[28]), redis.call('PTTL', ARGV[26])))
end

-- while it still holds its place: how much the key held is what this answer proves
if news == 'ok' then
  heal(ARGV[15], job[9])
  learn_more(ARGV[15], id)
elseif news == 'heard' then
  hear(ARGV[15], job[9])
end
local refused = news == 'busy' or news == 'down'
local roles = refused and redis.call('HMGET', KEY.upstream .. ARGV[15], 'probing', 'tried') or {}
local probed, tried = roles[1] == id, roles[2] == id
if ARGV[23] == '1' and place then keep_beside(id, ARGV[8]:match('(%d+)%]$'), place) end
for name, track_id in ARGV[29]:gmatch('(%S+) (%S+)') do redis.call('ZREM', KEY.places .. name, track_id) end
local held = frees and place and release(id, place)
-- an answer, a callback or a poll ended the upstream's part
local heard = ARGV[19] == 'answer' or ARGV[19] == 'callback' or ARGV[19] == 'poll'
if held and heard and job[9] and not refused then smooth('hold_ms', now - job[9]) end
if from ~= to then
  redis.call('HSET', key, 'timeline', with_row(job[6], ARGV[8]))
  count(from, -1)
  count(to, 1)
  if from == 'queued' then dequeue(id, tenant) end
  redis.call('PUBLISH', 'events', id .. ' ' .. to)
  if from == 'storing' and to == 'succeeded' then
    if job[9] then smooth('done_ms', now - job[9]) end
    if job[10] then note_quickest(tenant, now - job[10]) end
  end
  if ARGV[19] == 'no_time' then doubt_quickest(tenant) end
end
redis.call('HINCRBY', KEY.stats, to .. ' ' .. ARGV[19], 1)
if to == 'queued' and frees then
  local rank = job[5]
  if ARGV[19] == 'key_refused' and tried then
    -- it was the try, and may be the request that the key is refused for: behind its peers, so that it cannot take
    -- every try
    rank = now
    redis.call('HSET', key, 'rank', rank)
  end
  enqueue(id, tenant, rank)
end
if to == 'storing' and ARGV[19] == 'poll' and from ~= to then
  note_health('poll')
end
if ARGV[10] == '1' then
  redis.call('HSET', key, 'pushed', now)
  push(template, prefix, 'collect', 'collect', id)
end
if ARGV[12] ~= '' then
  redis.call('HSET', KEY.delivery .. ARGV[12], 'job', id, 'tenant', tenant, 'state', 'pending', 'created_at', now,
    'pushed', now)
  redis.call('RPUSH', KEY.deliveries .. id, ARGV[12])
  redis.call('ZADD', KEY.deliveries_of .. tenant, now, ARGV[12])
  redis.call('HINCRBY', KEY.deliveries_counts, 'pending', 1)
  redis.call('ZADD', KEY.deliveries_due, now + lease, ARGV[12])
  push(template, prefix, 'tell', 'tell', ARGV[12])
end
if place and not frees then
  if ended or to == 'unknown' then
    give_back_later(id, place)
  elseif from == 'unknown' then
    redis.call('ZADD', KEY.places .. place, 'XX', now + PLACE_LEASE_MS, id) -- known again
  end
end
if ended then redis.call('ZADD', KEY.finished, 'NX', now, id) end

if news == 'busy' then
  learn_less(ARGV[15], job[9], probed, tonumber(ARGV[16]), tonumber(ARGV[17]))
elseif news == 'shaky' then
  strain(ARGV[15], id, job[9], tonumber(ARGV[17]), ARGV[18])
elseif news == 'down' then
  trip(ARGV[15], job[9], tonumber(ARGV[17]), ARGV[18])
end
pump(template, prefix, lease)
return {now, 1}
