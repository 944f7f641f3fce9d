-- Moves the due time of a job whose record does not change; nothing where there is no record.
--
-- ARGV  id, ms from now, '1' where all its kept callbacks are to be decided on again or ''
-- Reply {now, 1} or {now, 0}
local key = KEY.job .. ARGV[1]
if redis.call('HEXISTS', key, 'doc') == 0 then return {now, 0} end
if ARGV[3] == '1' then redis.call('HSET', key, 'inbox_read', 0) end
redis.call('ZADD', KEY.due, now + ARGV[2], ARGV[1])
return {now, 1}
