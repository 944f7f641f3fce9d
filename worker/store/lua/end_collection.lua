-- Frees the place of a collection and wakes jobs in line, also if the job is gone. After a crash before this the place
-- is freed by its lease.
--
-- ARGV  template, prefix, job id, tenant, token of the worker, most of a tenant
-- Reply {now}
-- @include collecting
local id, tenant = ARGV[3], ARGV[4]
local holder = redis.call('HGET', KEY.job .. id, 'collector')
if not holder or holder == ARGV[5] then
  redis.call('ZREM', (lane_of(tenant)), id)
  if holder then redis.call('HDEL', KEY.job .. id, 'collector') end
end
wake_collections(tenant, tonumber(ARGV[6]), ARGV[1], ARGV[2])
return {now}
