-- One record, and its position if it waits in the queue. For another tenant the reply, and its cost, are as if there
-- were no such job. An empty `tenant` means any. Arguments and reply: worker/store/loaded.py.
-- @include standing

local key = KEY.job .. job_id
if tenant ~= '' and redis.call('HGET', key, 'tenant') ~= tenant then return reply{job = {}, inbox = {}} end
local inbox_read, status, owner, priority, place = unpack(redis.call('HMGET', key,
  'inbox_read', 'status', 'tenant', 'priority', 'place'))
local standing
if status == 'queued' and not place then
  local crowd = survey(owner, tonumber(redis.call('HGET', KEY.backlogs, owner) or 0))
  local own = redis.call('ZRANK', KEY.backlog .. owner, job_id) or 0
  local before = jobs_before(crowd, own, tonumber(priority or 5))
  standing = standing_of(own, before, crowd, pace(owner), redis.call('HGET', KEY.tenant .. owner, 'paused'))
end
return reply{
  job = redis.call('HGETALL', key),
  inbox = redis.call('LRANGE', KEY.inbox .. job_id, tonumber(inbox_read or 0), -1),
  standing = standing,
  done_ms = redis.call('HGET', KEY.flow, 'done_ms'),
}
