-- Frees the place of a collection and wakes jobs in line, also if the job is gone. After a crash before this the
-- place is freed by its lease. Arguments: worker/images/claims.py.
-- @include collecting
local holder = redis.call('HGET', KEY.job .. job_id, 'collector')
if not holder or holder == token then
  redis.call('ZREM', (lane_of(tenant)), job_id)
  if holder then redis.call('HDEL', KEY.job .. job_id, 'collector') end
end
move_window(tenant, most, too_slow)
wake_collections(tenant, most, template, prefix)
return reply{}
