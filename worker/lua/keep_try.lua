-- The row of one try and what follows from it; only the first worker that brings this many rows is believed.
--
-- ARGV  delivery id, rows before, rows as JSON, state, ms until the next try or ''
-- Reply {now, 1} or {now, 0}
local key = 'delivery:' .. ARGV[1]
if tonumber(redis.call('HGET', key, 'tries') or 0) ~= tonumber(ARGV[2]) then return {now, 0} end
redis.call('HSET', key, 'attempts', ARGV[3], 'tries', ARGV[2] + 1, 'state', ARGV[4])
redis.call('HDEL', key, 'claimed_until')
if ARGV[5] == '' then
  redis.call('ZREM', 'deliveries:due', ARGV[1])
else
  redis.call('HSET', key, 'not_before', now + ARGV[5])
  redis.call('ZADD', 'deliveries:due', now + ARGV[5], ARGV[1])
end
return {now, 1}
