-- Writes the row of one try and what follows from it for the delivery, its endpoint, and deliveries in line. Of
-- several workers with the same number of rows only the first one counts. Arguments: worker/telling/scripts.py.
-- @include lines
-- @include memory
-- @include telling
local kind = telling(template, prefix, lease_ms, claim_ms, caps, '')
local line, key = kind.line(line_to(tenant, host, endpoint)), KEY.delivery .. delivery_id
if redis.call('EXISTS', key) == 0 then -- removed with its job while it was being sent
  give_back(kind, line, delivery_id)
  return reply{}
end
if tonumber(redis.call('HGET', key, 'tries') or 0) ~= tries then return reply{} end

local job_id = redis.call('HGET', key, 'job')
local counted = redis.call('HGET', KEY.job .. job_id, 'bytes')
if counted then grow(job_id, tenant, counted, #rows - redis.call('HSTRLEN', key, 'attempts')) end
redis.call('HSET', key, 'attempts', rows, 'tries', tries + 1)
redis.call('HDEL', key, 'claimed_until')
to_state(delivery_id, state)
if wait_ms then
  redis.call('HSET', key, 'not_before', now + wait_ms)
  redis.call('ZADD', KEY.deliveries_due, now + wait_ms, delivery_id)
else
  redis.call('ZREM', KEY.deliveries_due, delivery_id)
end

local row, why = KEY.endpoint .. tenant .. ':' .. endpoint, nil
redis.call('HSET', row, 'url', address)
if came_to == 'hung' then
  redis.call('HINCRBY', row, 'hung', 1)
else
  redis.call('HDEL', row, 'hung')
end
if came_to == 'ok' then
  redis.call('HSET', row, 'told_at', now)
  redis.call('HDEL', row, 'failing_since', 'failures')
else
  local failing_since, failed_at, disabled_at =
    unpack(redis.call('HMGET', row, 'failing_since', 'failed_at', 'disabled_at'))
  local since = tonumber(failing_since or now)
  if now - tonumber(failed_at or now) > quiet_ms then since = now end
  redis.call('HSET', row, 'failing_since', since, 'failed_at', now)
  redis.call('HINCRBY', row, 'failures', 1)
  if not disabled_at then
    why = came_to == 'gone' and 'gone' or now - since >= failing_ms and 'failing' or nil
    if why then redis.call('HSET', row, 'disabled_at', now, 'reason', why) end
  end
end
note_endpoint(tenant, endpoint)
give_back(kind, kind.line(line.name), delivery_id) -- frees as many places as the endpoint may have now
return reply{disabled = why}
