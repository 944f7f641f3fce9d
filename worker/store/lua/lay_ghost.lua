-- Removes a ghost: keys of a job without a record, which an older version could write after the job was removed.
-- Arguments: worker/store/jobs.py.
if redis.call('HEXISTS', KEY.job .. job_id, 'doc') == 0 then
  redis.call('DEL', KEY.job .. job_id)
  redis.call('DEL', KEY.inbox .. job_id)
  redis.call('ZREM', KEY.due, job_id)
  redis.call('ZREM', KEY.finished, job_id)
end
return reply{}
