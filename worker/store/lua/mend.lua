-- Repairs what `darkroom audit` found, if it is still wrong. Buys, loses and ends nothing. `what` is dequeue (in the
-- queue, but not waiting), keep_place (on the record, but not held), drop_place (held, but not on the record) or forget
-- (keys of a job without a record). Arguments: worker/store/queue.py.
-- @include memory
-- @include queue
local key = KEY.job .. job_id
local status, place, order, tenant = unpack(redis.call('HMGET', key, 'status', 'place', 'order', 'tenant'))
local ended = status == 'succeeded' or status == 'failed' or status == 'cancelled' or status == 'expired'

if what == 'dequeue' and tenant and (status ~= 'queued' or place) then dequeue(job_id, tenant) end
if what == 'keep_place' and place == account and not ended then
  redis.call('ZADD', KEY.places .. account, 'NX', now + PLACE_LEASE_MS, job_id)
end
if what == 'drop_place' and (place ~= account or status == 'succeeded' or status == 'failed') then
  redis.call('ZREM', KEY.places .. account, job_id)
end
if what == 'forget' and not order then
  if tenant then take_back(job_id, tenant) end
  for _, each in ipairs(redis.call('SMEMBERS', KEY.tenants)) do
    dequeue(job_id, each)
    redis.call('ZREM', KEY.jobs .. each, job_id)
  end
  for _, each in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do redis.call('ZREM', KEY.places .. each, job_id) end
  for _, family in ipairs({KEY.job, KEY.inbox, KEY.deliveries}) do redis.call('DEL', family .. job_id) end
  redis.call('ZREM', KEY.due, job_id)
  redis.call('ZREM', KEY.finished, job_id)
end
pump(template, prefix, lease_ms)
return reply{}
