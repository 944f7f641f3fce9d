-- Wakes the collection of a job that somebody else has looked at: who decides does not download. A crash before it
-- loses nothing: the job is looked at again when it is due. Arguments: worker/store/jobs.py.
-- @include prelude
if redis.call('HEXISTS', KEY.job .. job_id, 'doc') == 1 then
  redis.call('HSET', KEY.job .. job_id, 'pushed', now)
  push(template, prefix, 'collect', 'collect', job_id)
end
return reply{}
