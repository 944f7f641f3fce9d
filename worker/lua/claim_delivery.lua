-- One try of a delivery for one worker: a message that came twice, or too early, gets nothing. One whose host or tenant
-- has as many under way as it may is put off without a thread and without a try: it stands in line, and whoever gives
-- a place back wakes it. A place whose worker died is given back by its time; that delivery's own due time goes on.
--
-- ARGV  template, prefix, lease_ms, delivery id, claim_ms, tenant, host, most per host, most per tenant,
--       endpoint id, ms after which one in line looks again by itself
-- Reply {now, none | endpoint_disabled | put_off | claimed, {field, value, …} of a claimed one}
local template, prefix, lease, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local tenant, endpoint = ARGV[6], ARGV[10]
local lanes = {{name = 'host:' .. ARGV[7], most = tonumber(ARGV[8])}, {name = 'tenant:' .. tenant, most = tonumber(ARGV[9])}}
local key = 'delivery:' .. id
local function none(verdict)
  for _, lane in ipairs(lanes) do wake(lane, template, prefix, lease) end
  return {now, verdict, {}}
end

local row = redis.call('HMGET', key, 'state', 'not_before', 'claimed_until', 'created_at')
if row[1] ~= 'pending' or tonumber(row[2] or 0) > now or tonumber(row[3] or 0) > now then return none('none') end
redis.call('HSET', key, 'endpoint', endpoint)
if is_disabled(tenant, endpoint) then
  to_state(id, 'endpoint_disabled')
  redis.call('ZREM', 'deliveries:due', id)
  note_endpoint(tenant, endpoint)
  return none('endpoint_disabled')
end
for _, lane in ipairs(lanes) do
  if not is_free(lane) then
    redis.call('ZADD', 'line:' .. lane.name, math.max(tonumber(row[2] or 0), tonumber(row[4] or 0)), id)
    redis.call('HSET', key, 'line', lane.name)
    redis.call('ZADD', 'deliveries:due', now + ARGV[11], id)
    return none('put_off')
  end
end
for _, lane in ipairs(lanes) do
  redis.call('ZADD', 'telling:' .. lane.name, now + ARGV[5], id)
  redis.call('PEXPIRE', 'telling:' .. lane.name, ARGV[5])
  redis.call('ZREM', 'line:' .. lane.name, id)
end
redis.call('HSET', key, 'claimed_until', now + ARGV[5])
return {now, 'claimed', redis.call('HGETALL', key)}
