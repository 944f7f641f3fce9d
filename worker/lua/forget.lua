-- Removes every trace of a finished job. ARGV  id, tenant. Reply {now}
local id, tenant = ARGV[1], ARGV[2]
local status = redis.call('HGET', 'job:' .. id, 'status')
if status then count(status, -1) end
for _, delivery in ipairs(redis.call('LRANGE', 'deliveries:' .. id, 0, -1)) do
  redis.call('DEL', 'delivery:' .. delivery)
  redis.call('ZREM', 'deliveries:due', delivery)
end
redis.call('DEL', 'job:' .. id, 'inbox:' .. id, 'deliveries:' .. id)
redis.call('ZREM', 'jobs:' .. tenant, id)
redis.call('ZREM', 'due', id)
redis.call('ZREM', 'finished', id)
return {now}
