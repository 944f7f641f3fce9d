-- Renews the claim on a collection: with a slow store it may take longer than a lease, although no worker has died.
-- Also delays the job's due time, if it has one: else the job would end as `stalled` although it is paid for.
-- Arguments: worker/images/claims.py.
-- @include collecting
local collector, tenant, deadline = unpack(redis.call('HMGET', KEY.job .. job_id, 'collector', 'tenant', 'deadline'))
if collector ~= token then return reply{} end -- another worker collects it now, or it must not be collected any more
redis.call('ZADD', (lane_of(tenant)), now + lease_ms, job_id)
deadline = tonumber(deadline or 0)
redis.call('ZADD', KEY.due, 'XX', 'GT', deadline > now and math.min(now + lease_ms, deadline) or now + lease_ms, job_id)
return reply{}
