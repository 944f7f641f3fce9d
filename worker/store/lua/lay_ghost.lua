-- Removes what an older version wrote for a job that was gone: keys of it, without a record. A job that has one stays.
-- Arguments: worker/store/jobs.py.
if redis.call('HEXISTS', KEY.job .. job_id, 'doc') == 0 then
  redis.call('DEL', KEY.job .. job_id)
  redis.call('DEL', KEY.inbox .. job_id)
  redis.call('ZREM', KEY.due, job_id)
  redis.call('ZREM', KEY.finished, job_id)
end
return reply{}
