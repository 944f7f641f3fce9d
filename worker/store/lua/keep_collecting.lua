-- Renews the claim on a collection: with a slow store it may take longer than a lease, although no worker has died.
-- Also delays the job's due time, if it has one: else the job would end as `stalled` although it is paid for.
--
-- ARGV  lease_ms, job id, token of the worker
-- Reply {now, 1} or {now, 0} if another worker collects it now, or it must not be collected any more
-- @include collecting
local lease, id = tonumber(ARGV[1]), ARGV[2]
local job = redis.call('HMGET', KEY.job .. id, 'collector', 'tenant', 'deadline')
if job[1] ~= ARGV[3] then return {now, 0} end
redis.call('ZADD', (lane_of(job[2])), now + lease, id)
local deadline = tonumber(job[3] or 0)
redis.call('ZADD', KEY.due, 'XX', 'GT', deadline > now and math.min(now + lease, deadline) or now + lease, id)
return {now, 1}
