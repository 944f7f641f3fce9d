-- Puts a queued job that is in no queue back into its backlog. Arguments: worker/store/queue.py.
-- @include queue
local status, tenant, place, rank = unpack(redis.call('HMGET', KEY.job .. job_id, 'status', 'tenant', 'place', 'rank'))
if status == 'queued' and not place then enqueue(job_id, tenant, rank) end
pump(template, prefix, lease_ms)
return reply{}
