-- Claims one try of a delivery for one worker; a message that came twice or too early gets nothing. If the endpoint,
-- the tenant or the host has no free place, the delivery waits in line, without a thread and without using up a try. It
-- gets a place when its turn comes. A place whose worker died is freed after its lease.
--
-- ARGV  template, prefix, lease_ms, claim_ms, caps, delivery id, tenant, host, endpoint id,
--       ms after which one in line looks again by itself
-- Reply {now, none | endpoint_disabled | put_off | claimed, {field, value, …} of a claimed one}
-- @include lines
-- @include telling
local claim_ms, id, tenant, endpoint = tonumber(ARGV[4]), ARGV[6], ARGV[7], ARGV[9]
local kind = telling(ARGV[1], ARGV[2], tonumber(ARGV[3]), claim_ms, ARGV[5], id)
local line, key = kind.line(line_to(tenant, ARGV[8], endpoint)), KEY.delivery .. id

local row = redis.call('HMGET', key, 'state', 'not_before', 'claimed_until', 'created_at')
if row[1] == 'pending' and tonumber(row[3] or 0) > now then return {now, 'none', {}} end -- another worker is trying it
if row[1] ~= 'pending' or tonumber(row[2] or 0) > now then
  give_back(kind, line, id)
  return {now, 'none', {}}
end
redis.call('HSET', key, 'endpoint', endpoint)
if is_disabled(tenant, endpoint) then
  to_state(id, 'endpoint_disabled')
  redis.call('ZREM', KEY.deliveries_due, id)
  note_endpoint(tenant, endpoint)
  give_back(kind, line, id)
  return {now, 'endpoint_disabled', {}}
end

local queue = line_key(kind, line.name)
-- deliveries that wait already go first
if not holds(kind, line, id) and (redis.call('EXISTS', queue) == 1 or not has_room(kind, line)) then
  stand_in_line(kind, line, id, math.max(tonumber(row[2] or 0), tonumber(row[4] or 0)))
  redis.call('HSET', key, 'line', kind.name .. ':' .. line.name)
  redis.call('ZADD', KEY.deliveries_due, now + ARGV[10], id)
  for _ = 1, GRANTED_AT_ONCE do
    if not grant(kind, line.name) then break end
  end
  if not holds(kind, line, id) then return {now, 'put_off', {}} end
end
hold(kind, line, id, claim_ms)
redis.call('ZREM', queue, id)
redis.call('HDEL', key, 'line')
redis.call('HSET', key, 'claimed_until', now + claim_ms)
return {now, 'claimed', redis.call('HGETALL', key)}
