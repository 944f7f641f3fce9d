-- One record as it stands, and where it stands in the queue if it waits in one.
--
-- ARGV  id, tenant ('' for any): to another one's job there is nothing, at no other cost than where there is none
-- Reply {now, {field, value, …}, {inbox row, …}, {standing} or {}}
-- @include standing
local id = ARGV[1]
if ARGV[2] ~= '' and redis.call('HGET', KEY.job .. id, 'tenant') ~= ARGV[2] then return {now, {}, {}, {}, -1} end
local job = redis.call('HGETALL', KEY.job .. id)
local known = redis.call('HMGET', KEY.job .. id, 'inbox_read', 'status', 'tenant', 'priority', 'place')
local inbox = redis.call('LRANGE', KEY.inbox .. id, tonumber(known[1] or 0), -1)
local standing = {}
if known[2] == 'queued' and not known[5] then
  local tenant, size = known[3], tonumber(redis.call('HGET', KEY.backlogs, known[3]) or 0)
  local crowd, own = survey(tenant, size), redis.call('ZRANK', KEY.backlog .. tenant, id) or 0
  local before = jobs_before(crowd, own, tonumber(known[4] or 5))
  standing = standing_of(own, before, crowd, pace(), redis.call('HGET', KEY.tenant .. tenant, 'paused'))
end
return {now, job, inbox, standing, redis.call('HGET', KEY.flow, 'done_ms') or -1}
