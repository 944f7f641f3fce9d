-- One record as it stands, with the callbacks that nobody has decided on yet.
--
-- ARGV  id
-- Reply {now, {field, value, …}, {inbox row, …}, ms that the quickest job took of late or -1}
local job = redis.call('HGETALL', 'job:' .. ARGV[1])
local read = tonumber(redis.call('HGET', 'job:' .. ARGV[1], 'inbox_read') or 0)
return {now, job, redis.call('LRANGE', 'inbox:' .. ARGV[1], read, -1), redis.call('HGET', 'flow', 'quickest_ms') or -1}
