-- Removes an ended job from the due times, if nothing has come in since it was looked at.
-- Arguments: worker/store/jobs.py.
local its_version, inbox_read = unpack(redis.call('HMGET', KEY.job .. job_id, 'version', 'inbox_read'))
if tonumber(its_version) == version and redis.call('LLEN', KEY.inbox .. job_id) <= tonumber(inbox_read or 0) then
  redis.call('ZREM', KEY.due, job_id)
end
return reply{}
