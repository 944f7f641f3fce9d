-- @include memory
-- Corrects one of the queue's counters in the same transaction that counts, because jobs move all the time.
if what == 'backlog' then
  local size = redis.call('ZCARD', KEY.backlog .. name)
  if size > 0 then redis.call('HSET', KEY.backlogs, name, size) else redis.call('HDEL', KEY.backlogs, name) end
elseif what == 'waiting' then
  local total = 0
  for _, tenant in ipairs(redis.call('SMEMBERS', KEY.tenants)) do
    total = total + redis.call('ZCARD', KEY.backlog .. tenant)
  end
  redis.call('SET', KEY.waiting, total)
elseif what == 'bytes' then
  if tonumber(redis.call('HGET', KEY.bytes, name) or 0) == noted then change_bytes(name, counted - noted) end
elseif tonumber(redis.call('HGET', KEY.counts, name) or 0) == noted then -- else it has changed since
  redis.call('HINCRBY', KEY.counts, name, counted - noted)
end
return reply{}
