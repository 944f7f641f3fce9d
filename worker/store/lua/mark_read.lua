-- One more callback of a job was decided on, and changed nothing. Only on the record that the decision was made on: a
-- job that moved meanwhile is decided on again, and one that is gone leaves no trace. `inbox_read`: how many were
-- decided on before. Arguments and reply: worker/store/inbox.py.
local key = KEY.job .. job_id
local its_version, its_read = unpack(redis.call('HMGET', key, 'version', 'inbox_read'))
if tonumber(its_version) ~= version or tonumber(its_read or 0) ~= inbox_read then return reply{done = false} end
redis.call('HSET', key, 'inbox_read', inbox_read + 1)
return reply{done = true}
