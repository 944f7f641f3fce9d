-- Takes a page of what is due in an index, for one process only. Members that the process does not remove from the
-- index are due again later, so a crash only delays them. Arguments: worker/images/removal.py.
local before = now - age_ms
local due = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, most)
for _, name in ipairs(due) do redis.call('ZADD', index, before + back_ms, name) end
return reply{names = due}
