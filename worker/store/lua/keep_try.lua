-- Writes the row of one try and what follows from it for the delivery, its endpoint, and deliveries in line. Of several
-- workers with the same number of rows only the first one counts.
--
-- ARGV  template, prefix, lease_ms, claim_ms, caps, delivery id, rows before, rows as JSON, state, ms until the next try
--       or '', tenant, host, endpoint id, endpoint address, ok | failed | hung | gone,
--       ms of failure that disable an endpoint, ms between failures that are not one outage
-- Reply {now, 1, why the endpoint is disabled by this try or ''} or {now, 0, ''}
-- @include lines
-- @include telling
local id, tenant, endpoint, came_to = ARGV[6], ARGV[11], ARGV[13], ARGV[15]
local kind = telling(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], '')
local line, key = kind.line(line_to(tenant, ARGV[12], endpoint)), KEY.delivery .. id
if redis.call('EXISTS', key) == 0 then -- removed with its job while it was being sent
  give_back(kind, line, id)
  return {now, 0, ''}
end
if tonumber(redis.call('HGET', key, 'tries') or 0) ~= tonumber(ARGV[7]) then return {now, 0, ''} end

redis.call('HSET', key, 'attempts', ARGV[8], 'tries', ARGV[7] + 1)
redis.call('HDEL', key, 'claimed_until')
to_state(id, ARGV[9])
if ARGV[10] == '' then
  redis.call('ZREM', KEY.deliveries_due, id)
else
  redis.call('HSET', key, 'not_before', now + ARGV[10])
  redis.call('ZADD', KEY.deliveries_due, now + ARGV[10], id)
end

local row, why = KEY.endpoint .. tenant .. ':' .. endpoint, ''
redis.call('HSET', row, 'url', ARGV[14])
if came_to == 'hung' then
  redis.call('HINCRBY', row, 'hung', 1)
else
  redis.call('HDEL', row, 'hung')
end
if came_to == 'ok' then
  redis.call('HSET', row, 'told_at', now)
  redis.call('HDEL', row, 'failing_since', 'failures')
else
  local known = redis.call('HMGET', row, 'failing_since', 'failed_at', 'disabled_at')
  local since = tonumber(known[1] or now)
  if now - tonumber(known[2] or now) > tonumber(ARGV[17]) then since = now end
  redis.call('HSET', row, 'failing_since', since, 'failed_at', now)
  redis.call('HINCRBY', row, 'failures', 1)
  if not known[3] then
    why = came_to == 'gone' and 'gone' or now - since >= tonumber(ARGV[16]) and 'failing' or ''
    if why ~= '' then redis.call('HSET', row, 'disabled_at', now, 'reason', why) end
  end
end
note_endpoint(tenant, endpoint)
give_back(kind, kind.line(line.name), id) -- frees as many places as the endpoint may have now
return {now, 1, why}
