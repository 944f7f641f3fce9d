-- Notes a removal that failed: it is tried again with growing pauses, and counted until it succeeds.
--
-- removals:failing  HASH  '<index> <name>' → failures in a row
--
-- ARGV  index, ms that its scores must lie back to be due, name, first pause_ms, longest pause_ms
-- Reply {now, failures in a row}
local failures = redis.call('HINCRBY', KEY.removals_failing, ARGV[1] .. ' ' .. ARGV[3], 1)
local pause = math.min(tonumber(ARGV[5]), ARGV[4] * 2 ^ math.min(failures - 1, 20))
redis.call('ZADD', ARGV[1], 'XX', 'GT', now - ARGV[2] + pause, ARGV[3])
return {now, failures}
