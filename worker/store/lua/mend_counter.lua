-- Sets one of the queue's counters right, in one step with what it counts: jobs go on moving meanwhile.
--
-- ARGV  'backlog', tenant                          the number of its waiting jobs
--       'waiting'                                  that of all tenants
--       'count', status, as noted, as counted      by the difference, where it still is what was read
-- Reply {now, 1} where it was mended, {now, 0} where it has moved since
local what = ARGV[1]
if what == 'backlog' then
  local size = redis.call('ZCARD', KEY.backlog .. ARGV[2])
  if size > 0 then redis.call('HSET', KEY.backlogs, ARGV[2], size) else redis.call('HDEL', KEY.backlogs, ARGV[2]) end
elseif what == 'waiting' then
  local total = 0
  for _, tenant in ipairs(redis.call('SMEMBERS', KEY.tenants)) do
    total = total + redis.call('ZCARD', KEY.backlog .. tenant)
  end
  redis.call('SET', KEY.waiting, total)
else
  local noted = tonumber(redis.call('HGET', KEY.counts, ARGV[2]) or 0)
  if noted ~= tonumber(ARGV[3]) then return {now, 0} end
  redis.call('HINCRBY', KEY.counts, ARGV[2], ARGV[4] - ARGV[3])
end
return {now, 1}
