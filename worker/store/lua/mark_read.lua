-- One more callback of a job was decided on, and changed nothing. Only on the record that the decision was made on: a
-- job that moved meanwhile is decided on again, and one that is gone leaves no trace.
--
-- ARGV  id, version, callbacks decided on before
-- Reply {now, 1} or {now, 0} where the record is another
local key = KEY.job .. ARGV[1]
local job = redis.call('HMGET', key, 'version', 'inbox_read')
if job[1] ~= ARGV[2] or tonumber(job[2] or 0) ~= tonumber(ARGV[3]) then return {now, 0} end
redis.call('HSET', key, 'inbox_read', ARGV[3] + 1)
return {now, 1}
