-- Marks one more callback of a job as read; the decision on it changed nothing. Only if the record is still the one
-- that the decision was made on. `inbox_read`: how many were read before. Arguments and reply: worker/store/inbox.py.
local key = KEY.job .. job_id
local its_version, its_read = unpack(redis.call('HMGET', key, 'version', 'inbox_read'))
if tonumber(its_version) ~= version or tonumber(its_read or 0) ~= inbox_read then return reply{done = false} end
redis.call('HSET', key, 'inbox_read', inbox_read + 1)
return reply{done = true}
