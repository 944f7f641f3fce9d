-- One page of a tenant's deliveries, newest first. Its cost depends on the rows it looks at, not on their total
-- number. Arguments: worker/telling/scripts.py.
local index, first = KEY.deliveries_of .. tenant, 0
if cursor_id then
  local rank = redis.call('ZREVRANK', index, cursor_id)
  -- removed meanwhile: continue from the time when it was made
  first = rank and rank + 1 or redis.call('ZCOUNT', index, '(' .. cursor_at, '+inf')
end
local rows, flat = {}, redis.call('ZREVRANGE', index, first, first + looked_at - 1, 'WITHSCORES')
for place = 1, #flat, 2 do
  local id, made = flat[place], flat[place + 1]
  if tonumber(made) < since then return reply{rows = rows} end
  local key = KEY.delivery .. id
  local state = redis.call('HGET', key, 'state')
  if state and (not only or state == only) then rows[#rows + 1] = {id = id, fields = redis.call('HGETALL', key)} end
  if #rows == most then return reply{rows = rows, last = {at = made, id = id}} end
end
if #flat < 2 * looked_at then return reply{rows = rows} end
return reply{rows = rows, last = {at = flat[#flat], id = flat[#flat - 1]}}
