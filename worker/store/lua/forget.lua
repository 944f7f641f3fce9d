-- Removes every trace of a finished job but its folder, which a tombstone names for the sweep: a worker may be storing
-- an image of it at this moment.
--
-- ARGV  id, tenant, folder, ms until the sweep removes that (again), index rows of its request ids …
-- Reply {now}
-- @include prelude
local id, tenant = ARGV[1], ARGV[2]
redis.call('ZADD', 'tombstones', now + ARGV[4], ARGV[3])
redis.call('HDEL', 'removals:failing', 'finished ' .. id)
local status = redis.call('HGET', 'job:' .. id, 'status')
if status then count(status, -1) end
for _, delivery in ipairs(redis.call('LRANGE', 'deliveries:' .. id, 0, -1)) do
  local told = redis.call('HMGET', 'delivery:' .. delivery, 'state', 'line')
  if told[1] then redis.call('HINCRBY', 'deliveries:counts', told[1], -1) end
  if told[2] then redis.call('ZREM', 'line:' .. told[2], delivery) end
  redis.call('ZREM', 'deliveries:tenant:' .. tenant, delivery)
  redis.call('DEL', 'delivery:' .. delivery)
  redis.call('ZREM', 'deliveries:due', delivery)
end
for _, key in ipairs({'job:', 'inbox:', 'deliveries:'}) do redis.call('DEL', key .. id) end
redis.call('ZREM', 'jobs:' .. tenant, id)
redis.call('ZREM', 'due', id)
redis.call('ZREM', 'finished', id)
redis.call('ZREM', 'collecting:' .. tenant, id)
redis.call('ZREM', 'line:collecting:' .. tenant, id)
-- the upstream may know the image by that id still: whoever is given it as well must not be asked for by it
for at = 5, #ARGV do
  local owner = redis.call('GET', ARGV[at])
  if owner and owner:sub(1, #id) == id then redis.call('SET', ARGV[at], 'gone', 'KEEPTTL') end
end
return {now}
