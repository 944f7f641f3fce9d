-- One page of a tenant's deliveries, newest first. Its cost depends on the rows it looks at, not on their total number.
--
-- ARGV  tenant, made since (ms), only this state or '', rows at most, rows looked at at most, cursor's time, cursor's id
-- Reply {now, {{id, {field, value, …}}, …}, {time, id} to go on from or {}}
local index, only, most, looked_at = KEY.deliveries_of .. ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local first = 0
if ARGV[7] ~= '' then
  local rank = redis.call('ZREVRANK', index, ARGV[7])
  -- removed meanwhile: continue from the time when it was made
  first = rank and rank + 1 or redis.call('ZCOUNT', index, '(' .. ARGV[6], '+inf')
end
local rows, flat = {}, redis.call('ZREVRANGE', index, first, first + looked_at - 1, 'WITHSCORES')
for at = 1, #flat, 2 do
  local id, made = flat[at], flat[at + 1]
  if tonumber(made) < tonumber(ARGV[2]) then return {now, rows, {}} end
  local key = KEY.delivery .. id
  local state = redis.call('HGET', key, 'state')
  if state and (only == '' or state == only) then rows[#rows + 1] = {id, redis.call('HGETALL', key)} end
  if #rows == most then return {now, rows, {made, id}} end
end
if #flat < 2 * looked_at then return {now, rows, {}} end
return {now, rows, {flat[#flat], flat[#flat - 1]}}
