-- Whoever collects a job's images is still at it: a store that hangs outlasts a lease, and nobody has died.
-- Moves the job's next look along, where one is booked: it would end as `stalled`, paid, while its images wait.
--
-- ARGV  lease_ms, job id, token of the worker
-- Reply {now, 1} or {now, 0} where another collects it by now, or nobody may any more
-- @include collecting
local lease, id = tonumber(ARGV[1]), ARGV[2]
local job = redis.call('HMGET', KEY.job .. id, 'collector', 'tenant', 'deadline')
if job[1] ~= ARGV[3] then return {now, 0} end
redis.call('ZADD', (lane_of(job[2])), now + lease, id)
local deadline = tonumber(job[3] or 0)
redis.call('ZADD', KEY.due, 'XX', 'GT', deadline > now and math.min(now + lease, deadline) or now + lease, id)
return {now, 1}
