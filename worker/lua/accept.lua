-- Accepts one request or one batch: record, idempotency row, place in the queue, Celery message; all or nothing.
-- Safe to run twice with the same ids: a client library that repeats a lost call changes nothing.
--
-- ARGV  template, prefix, lease_ms, max_waiting, idempotency key or '', fingerprint, idempotency ttl_ms,
--       then per job: id, tenant, order, doc, timeline row, created_ms, due_ms, rank
-- Reply {now, 'created' | 'same' | 'mismatch' | 'full', ids joined by ',', jobs waiting before these}
local template, prefix, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local idempotency, fingerprint = ARGV[5], ARGV[6]
local before = tonumber(redis.call('GET', 'waiting') or 0)
local nobody_waits = before == 0

local ids = {}
for at = 8, #ARGV, 8 do ids[#ids + 1] = ARGV[at] end
if redis.call('EXISTS', 'job:' .. ids[1]) == 1 then return {now, 'created', table.concat(ids, ','), before} end

if idempotency ~= '' then
  local earlier = redis.call('GET', idempotency)
  if earlier then
    local print, known = earlier:match('^(%S+) (.*)$')
    return {now, print == fingerprint and 'same' or 'mismatch', known, before}
  end
end
if tonumber(redis.call('HGET', 'counts', 'queued') or 0) + #ids > tonumber(ARGV[4]) then
  return {now, 'full', '', before}
end

if idempotency ~= '' then
  redis.call('SET', idempotency, fingerprint .. ' ' .. table.concat(ids, ','), 'PX', ARGV[7])
end
for at = 8, #ARGV, 8 do
  local id, tenant = ARGV[at], ARGV[at + 1]
  redis.call('HSET', 'job:' .. id, 'version', 1, 'status', 'queued', 'tenant', tenant, 'order', ARGV[at + 2],
    'doc', ARGV[at + 3], 'timeline', ARGV[at + 4], 'rank', ARGV[at + 7], 'deadline', ARGV[at + 6])
  redis.call('ZADD', 'jobs:' .. tenant, ARGV[at + 5], id)
  redis.call('ZADD', 'due', ARGV[at + 6], id)
  -- with nobody waiting and a place free there is no queue to stand in
  local name = nobody_waits and free_upstream()
  if name then
    dispatch(id, name, template, prefix, lease)
  else
    nobody_waits = false
    enqueue(id, tenant, ARGV[at + 7])
  end
end
count('queued', #ids)
return {now, 'created', table.concat(ids, ','), before}
