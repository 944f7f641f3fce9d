-- One record as it stands, with the callbacks that nobody has decided on yet.
--
-- ARGV  id
-- Reply {now, {field, value, …}, {inbox row, …}}
local job = redis.call('HGETALL', 'job:' .. ARGV[1])
local read = tonumber(redis.call('HGET', 'job:' .. ARGV[1], 'inbox_read') or 0)
return {now, job, redis.call('LRANGE', 'inbox:' .. ARGV[1], read, -1)}
