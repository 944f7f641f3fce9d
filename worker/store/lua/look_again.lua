-- Changes the due time of a job without changing its record; does nothing if there is no record.
-- Arguments and reply: worker/store/inbox.py.
local key = KEY.job .. job_id
if redis.call('HEXISTS', key, 'doc') == 0 then return reply{done = false} end
if read_all_again then redis.call('HSET', key, 'inbox_read', 0) end
redis.call('ZADD', KEY.due, now + wait, job_id)
return reply{done = true}
