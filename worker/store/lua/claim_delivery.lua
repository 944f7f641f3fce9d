-- Claims one try of a delivery for one worker; a message that came twice or too early gets nothing. If the endpoint,
-- the tenant or the host has no free place, the delivery waits in line, without a thread and without using up a try.
-- It gets a place when its turn comes. A place whose worker died is freed after its lease. Arguments:
-- worker/telling/scripts.py.
-- @include lines
-- @include telling
local kind = telling(template, prefix, lease_ms, claim_ms, caps, delivery_id)
local line, key = kind.line(line_to(tenant, host, endpoint)), KEY.delivery .. delivery_id

local state, not_before, claimed_until, created_at =
  unpack(redis.call('HMGET', key, 'state', 'not_before', 'claimed_until', 'created_at'))
local another_tries = state == 'pending' and tonumber(claimed_until or 0) > now
if another_tries then return reply{verdict = 'none'} end
if state ~= 'pending' or tonumber(not_before or 0) > now then
  give_back(kind, line, delivery_id)
  return reply{verdict = 'none'}
end
redis.call('HSET', key, 'endpoint', endpoint)
if is_disabled(tenant, endpoint) then
  to_state(delivery_id, 'endpoint_disabled')
  redis.call('ZREM', KEY.deliveries_due, delivery_id)
  note_endpoint(tenant, endpoint)
  give_back(kind, line, delivery_id)
  return reply{verdict = 'endpoint_disabled'}
end

local queue = line_key(kind, line.name)
-- deliveries that wait already go first
if not holds(kind, line, delivery_id) and (redis.call('EXISTS', queue) == 1 or not has_room(kind, line)) then
  stand_in_line(kind, line, delivery_id, math.max(tonumber(not_before or 0), tonumber(created_at or 0)))
  redis.call('HSET', key, 'line', kind.name .. ':' .. line.name)
  redis.call('ZADD', KEY.deliveries_due, now + in_line_ms, delivery_id)
  for _ = 1, GRANTED_AT_ONCE do
    if not grant(kind, line.name) then break end
  end
  if not holds(kind, line, delivery_id) then return reply{verdict = 'put_off'} end
end
hold(kind, line, delivery_id, claim_ms)
redis.call('ZREM', queue, delivery_id)
redis.call('HDEL', key, 'line')
redis.call('HSET', key, 'claimed_until', now + claim_ms)
return reply{verdict = 'claimed', fields = redis.call('HGETALL', key)}
