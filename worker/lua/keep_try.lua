-- The row of one try and what follows from it: for the delivery, for its endpoint, for those in line. Only the first
-- worker that brings this many rows is believed.
--
-- ARGV  template, prefix, lease_ms, delivery id, rows before, rows as JSON, state, ms until the next try or '',
--       tenant, host, most per host, most per tenant, endpoint id, endpoint address,
--       ok | failed | gone, ms of failure that disable an endpoint, ms between failures that are not one outage
-- Reply {now, 1, why the endpoint is disabled by this try or ''} or {now, 0, ''}
local template, prefix, lease, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local key, tenant, endpoint = 'delivery:' .. id, ARGV[9], ARGV[13]
if tonumber(redis.call('HGET', key, 'tries') or 0) ~= tonumber(ARGV[5]) then return {now, 0, ''} end
if redis.call('EXISTS', key) == 0 then return {now, 0, ''} end -- forgotten with its job while it was told

redis.call('HSET', key, 'attempts', ARGV[6], 'tries', ARGV[5] + 1)
redis.call('HDEL', key, 'claimed_until')
to_state(id, ARGV[7])
if ARGV[8] == '' then
  redis.call('ZREM', 'deliveries:due', id)
else
  redis.call('HSET', key, 'not_before', now + ARGV[8])
  redis.call('ZADD', 'deliveries:due', now + ARGV[8], id)
end

local row, why = 'endpoint:' .. tenant .. ':' .. endpoint, ''
redis.call('HSET', row, 'url', ARGV[14])
if ARGV[15] == 'ok' then
  redis.call('HSET', row, 'told_at', now)
  redis.call('HDEL', row, 'failing_since', 'failures')
else
  local known = redis.call('HMGET', row, 'failing_since', 'failed_at', 'disabled_at')
  local since = tonumber(known[1] or now)
  if now - tonumber(known[2] or now) > tonumber(ARGV[17]) then since = now end
  redis.call('HSET', row, 'failing_since', since, 'failed_at', now)
  redis.call('HINCRBY', row, 'failures', 1)
  if not known[3] then
    why = ARGV[15] == 'gone' and 'gone' or now - since >= tonumber(ARGV[16]) and 'failing' or ''
    if why ~= '' then redis.call('HSET', row, 'disabled_at', now, 'reason', why) end
  end
end
note_endpoint(tenant, endpoint)

for _, lane in ipairs({{name = 'host:' .. ARGV[10], most = tonumber(ARGV[11])},
    {name = 'tenant:' .. tenant, most = tonumber(ARGV[12])}}) do
  redis.call('ZREM', 'telling:' .. lane.name, id)
  wake(lane, template, prefix, lease)
end
return {now, 1, why}
