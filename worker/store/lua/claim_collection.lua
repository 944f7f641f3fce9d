-- Claims the collection of a job's images for one worker. If the tenant has as many collections as it may have, the
-- job waits in line without a thread, and is woken when a place is given back. Arguments and reply:
-- worker/images/claims.py.
-- @include collecting
local key = KEY.job .. job_id
local its_version, tenant, deadline, lined_up =
  unpack(redis.call('HMGET', key, 'version', 'tenant', 'deadline', 'lined_up'))
if not its_version or (version and tonumber(its_version) ~= version) then return reply{verdict = 'gone'} end
deadline = tonumber(deadline or 0)
local places, line = lane_of(tenant)
if tonumber(redis.call('ZSCORE', places, job_id) or 0) > now then return reply{verdict = 'held'} end
if most > 0 and not has_room(places, window_of(tenant, most)) then
  local since = lined_up or now
  redis.call('ZADD', line, since, job_id)
  redis.call('HSET', key, 'lined_up', since)
  look_at(job_id, now + in_line_ms, deadline)
  return reply{verdict = 'put_off'}
end
redis.call('ZADD', places, now + lease_ms, job_id)
redis.call('ZREM', line, job_id)
redis.call('HSET', key, 'collector', token)
redis.call('HDEL', key, 'lined_up')
look_at(job_id, now + lease_ms, deadline)
return reply{verdict = 'claimed'}
