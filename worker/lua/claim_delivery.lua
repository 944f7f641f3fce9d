-- One try of a delivery for one worker: a message that came twice, or too early, gets nothing.
--
-- ARGV  delivery id, claim_ms
-- Reply {now, {field, value, …}} or {now, {}}
local key = 'delivery:' .. ARGV[1]
local row = redis.call('HMGET', key, 'state', 'not_before', 'claimed_until')
if row[1] ~= 'pending' or tonumber(row[2] or 0) > now or tonumber(row[3] or 0) > now then return {now, {}} end
redis.call('HSET', key, 'claimed_until', now + ARGV[2])
return {now, redis.call('HGETALL', key)}
