-- Removes a finished job completely except its folder. A tombstone names the folder for the sweep, because a worker may
-- be storing an image of the job at this moment. Arguments: worker/store/jobs.py.
-- @include memory
-- @include prelude
redis.call('ZADD', KEY.tombstones, now + tombstone_ms, folder)
redis.call('HDEL', KEY.removals_failing, 'finished ' .. job_id)
local status = redis.call('HGET', KEY.job .. job_id, 'status')
if status then count(status, -1) end
take_back(job_id, tenant)
for _, delivery in ipairs(redis.call('LRANGE', KEY.deliveries .. job_id, 0, -1)) do
  local state, line = unpack(redis.call('HMGET', KEY.delivery .. delivery, 'state', 'line'))
  if state then redis.call('HINCRBY', KEY.deliveries_counts, state, -1) end
  if line then redis.call('ZREM', KEY.line .. line, delivery) end
  redis.call('ZREM', KEY.deliveries_of .. tenant, delivery)
  redis.call('DEL', KEY.delivery .. delivery)
  redis.call('ZREM', KEY.deliveries_due, delivery)
end
-- callbacks that still come are not kept as orphans
redis.call('ZREMRANGEBYSCORE', KEY.removed, '-inf', now)
if heard_ms > 0 then
  redis.call('ZADD', KEY.removed, now + heard_ms, job_id)
  redis.call('PEXPIRE', KEY.removed, math.max(heard_ms, redis.call('PTTL', KEY.removed)))
end
for _, family in ipairs({KEY.job, KEY.inbox, KEY.deliveries}) do redis.call('DEL', family .. job_id) end
redis.call('ZREM', KEY.jobs .. tenant, job_id)
redis.call('ZREM', KEY.due, job_id)
redis.call('ZREM', KEY.finished, job_id)
redis.call('ZREM', KEY.collecting .. tenant, job_id)
redis.call('ZREM', KEY.line .. 'collecting:' .. tenant, job_id)
-- the upstream may still know the image by that id: another job that gets the same id must not be polled by it
for _, key in ipairs(request_keys) do
  local owner = redis.call('GET', key)
  if owner and owner:sub(1, #job_id) == job_id then redis.call('SET', key, 'gone', 'KEEPTTL') end
end
return reply{}
