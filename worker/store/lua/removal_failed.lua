-- Notes a removal that failed: it is tried again with growing pauses, and counted until it succeeds. Arguments:
-- worker/images/removal.py.
local failures = redis.call('HINCRBY', KEY.removals_failing, index .. ' ' .. name, 1)
local pause = math.min(longest_pause_ms, first_pause_ms * 2 ^ math.min(failures - 1, 20))
redis.call('ZADD', index, 'XX', 'GT', now - age_ms + pause, name)
return reply{failures = failures}
