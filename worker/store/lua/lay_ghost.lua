-- Removes what an older version wrote for a job that was gone: keys of it, without a record. A job that has one stays.
--
-- ARGV  id
-- Reply {now, 1} or {now, 0}
local id = ARGV[1]
if redis.call('HEXISTS', 'job:' .. id, 'doc') == 1 then return {now, 0} end
redis.call('DEL', 'job:' .. id)
redis.call('DEL', 'inbox:' .. id)
redis.call('ZREM', 'due', id)
redis.call('ZREM', 'finished', id)
return {now, 1}
