-- Sends the message that has a job's images collected, because the process that decides does not download. A crash
-- before it loses nothing: the due time brings the job back. Arguments: worker/store/jobs.py.
-- @include prelude
if redis.call('HEXISTS', KEY.job .. job_id, 'doc') == 1 then
  redis.call('HSET', KEY.job .. job_id, 'pushed', now)
  push(template, prefix, 'collect', 'collect', job_id)
end
return reply{}
