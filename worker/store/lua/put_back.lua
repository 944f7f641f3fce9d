-- Puts a queued job that stands nowhere back into its queue. ARGV  template, prefix, lease_ms, id. Reply {now}
-- @include queue
local id = ARGV[4]
local job = redis.call('HMGET', KEY.job .. id, 'status', 'tenant', 'place', 'rank')
if job[1] == 'queued' and not job[3] then enqueue(id, job[2], job[4]) end
pump(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return {now}
