-- Mends what `darkroom audit` found, where it still is as it was found. Nothing is bought, lost or ended by it.
--
-- ARGV  template, prefix, lease_ms, what, job id, upstream key or ''
--       what: dequeue (in the queue, but not waiting) | keep_place (the record says one that nobody holds)
--           | drop_place (held, but the record does not know of it) | forget (keys of a job that has no record)
-- Reply {now}
-- @include queue
local template, prefix, lease, what, id, name = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local job = redis.call('HMGET', KEY.job .. id, 'status', 'place', 'order', 'tenant')
local ended = job[1] == 'succeeded' or job[1] == 'failed' or job[1] == 'cancelled' or job[1] == 'expired'

if what == 'dequeue' and job[4] and (job[1] ~= 'queued' or job[2]) then dequeue(id, job[4]) end
if what == 'keep_place' and job[2] == name and not ended then
  redis.call('ZADD', KEY.places .. name, 'NX', now + PLACE_LEASE_MS, id)
end
if what == 'drop_place' and (job[2] ~= name or job[1] == 'succeeded' or job[1] == 'failed') then
  redis.call('ZREM', KEY.places .. name, id)
end
if what == 'forget' and not job[3] then
  for _, tenant in ipairs(redis.call('SMEMBERS', KEY.tenants)) do
    dequeue(id, tenant)
    redis.call('ZREM', KEY.jobs .. tenant, id)
  end
  for _, key in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do redis.call('ZREM', KEY.places .. key, id) end
  for _, key in ipairs({KEY.job, KEY.inbox, KEY.deliveries}) do redis.call('DEL', key .. id) end
  redis.call('ZREM', KEY.due, id)
  redis.call('ZREM', KEY.finished, id)
end
pump(template, prefix, lease)
return {now}
