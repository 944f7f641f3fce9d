-- Takes a page of what is due in an index, for one process only. Members that the process does not remove from the
-- index are due again later, so a crash only delays them.
--
-- ARGV  index, ms that its scores must lie back, at most, ms until what was taken comes back
-- Reply {now, {name, …}}
local before = now - ARGV[2]
local due = redis.call('ZRANGEBYSCORE', ARGV[1], '-inf', before, 'LIMIT', 0, ARGV[3])
for _, name in ipairs(due) do redis.call('ZADD', ARGV[1], before + ARGV[4], name) end
return {now, due}
