-- Removes what an older version wrote for a job that was gone: keys of it, without a record. A job that has one stays.
--
-- ARGV  id
-- Reply {now, 1} or {now, 0}
local id = ARGV[1]
if redis.call('HEXISTS', KEY.job .. id, 'doc') == 1 then return {now, 0} end
redis.call('DEL', KEY.job .. id)
redis.call('DEL', KEY.inbox .. id)
redis.call('ZREM', KEY.due, id)
redis.call('ZREM', KEY.finished, id)
return {now, 1}
