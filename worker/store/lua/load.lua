-- One record as it stands, with the callbacks that nobody has decided on yet.
--
-- ARGV  id
-- Reply {now, {field, value, …}, {inbox row, …}, ms that the tenant's quickest job took of late or -1}
local job = redis.call('HGETALL', KEY.job .. ARGV[1])
local known = redis.call('HMGET', KEY.job .. ARGV[1], 'inbox_read', 'tenant')
local quickest = known[2] and redis.call('GET', KEY.quickest .. known[2])
return {now, job, redis.call('LRANGE', KEY.inbox .. ARGV[1], tonumber(known[1] or 0), -1), quickest or -1}
