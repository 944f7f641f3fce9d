-- Removes every trace of a finished job but its folder, which a tombstone names for the sweep: a worker may be storing
-- an image of it at this moment.
--
-- ARGV  id, tenant, folder, ms until the sweep removes that (again), index rows of its request ids …
-- Reply {now}
-- @include prelude
local id, tenant = ARGV[1], ARGV[2]
redis.call('ZADD', KEY.tombstones, now + ARGV[4], ARGV[3])
redis.call('HDEL', KEY.removals_failing, 'finished ' .. id)
local status = redis.call('HGET', KEY.job .. id, 'status')
if status then count(status, -1) end
for _, delivery in ipairs(redis.call('LRANGE', KEY.deliveries .. id, 0, -1)) do
  local told = redis.call('HMGET', KEY.delivery .. delivery, 'state', 'line')
  if told[1] then redis.call('HINCRBY', KEY.deliveries_counts, told[1], -1) end
  if told[2] then redis.call('ZREM', KEY.line .. told[2], delivery) end
  redis.call('ZREM', KEY.deliveries_of .. tenant, delivery)
  redis.call('DEL', KEY.delivery .. delivery)
  redis.call('ZREM', KEY.deliveries_due, delivery)
end
for _, key in ipairs({KEY.job, KEY.inbox, KEY.deliveries}) do redis.call('DEL', key .. id) end
redis.call('ZREM', KEY.jobs .. tenant, id)
redis.call('ZREM', KEY.due, id)
redis.call('ZREM', KEY.finished, id)
redis.call('ZREM', KEY.collecting .. tenant, id)
redis.call('ZREM', KEY.line .. 'collecting:' .. tenant, id)
-- the upstream may know the image by that id still: whoever is given it as well must not be asked for by it
for at = 5, #ARGV do
  local owner = redis.call('GET', ARGV[at])
  if owner and owner:sub(1, #id) == id then redis.call('SET', ARGV[at], 'gone', 'KEEPTTL') end
end
return {now}
