-- Claims the collection of a job's images for one worker. If the tenant has as many collections as it may have, the job
-- waits in line without a thread, and is woken when a place is given back.
--
-- ARGV  template, prefix, lease_ms, job id, version that was read or '' for any, token of the worker,
--       most of a tenant or 0 for one that waits for nobody (its images are here already), ms until one in line looks again by itself
-- Reply {now, 'claimed' | 'held' by another | 'put_off' | 'gone' where the record is another}
-- @include collecting
local lease, id, most = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[7])
local key = KEY.job .. id
local job = redis.call('HMGET', key, 'version', 'tenant', 'deadline', 'lined_up')
if not job[1] or (ARGV[5] ~= '' and job[1] ~= ARGV[5]) then return {now, 'gone'} end
local deadline = tonumber(job[3] or 0)
local places, line = lane_of(job[2])
if tonumber(redis.call('ZSCORE', places, id) or 0) > now then return {now, 'held'} end
if most > 0 and not has_room(places, most) then
  local since = job[4] or now
  redis.call('ZADD', line, since, id)
  redis.call('HSET', key, 'lined_up', since)
  look_at(id, now + ARGV[8], deadline)
  return {now, 'put_off'}
end
redis.call('ZADD', places, now + lease, id)
redis.call('ZREM', line, id)
redis.call('HSET', key, 'collector', ARGV[6])
redis.call('HDEL', key, 'lined_up')
look_at(id, now + lease, deadline)
return {now, 'claimed'}
