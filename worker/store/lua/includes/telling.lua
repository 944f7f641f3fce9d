-- For scripts that change webhook deliveries: counts by state, and the places and lines (lines.lua) of the kind
-- `telling`.
-- @include prelude
local function to_state(id, state)
  local from = redis.call('HGET', KEY.delivery .. id, 'state')
  if from == state then return end
  redis.call('HSET', KEY.delivery .. id, 'state', state)
  if from then redis.call('HINCRBY', KEY.deliveries_counts, from, -1) end
  redis.call('HINCRBY', KEY.deliveries_counts, state, 1)
end

-- An endpoint that timed out so often, without an answer since, gets one delivery at a time.
local HUNG_OFTEN = 3

-- How often in a row an endpoint has timed out, and whether its last try was answered, with whatever status.
local function answers_of(tenant, endpoint)
  local hung, told_at, failed_at =
    unpack(redis.call('HMGET', KEY.endpoint .. tenant .. ':' .. endpoint, 'hung', 'told_at', 'failed_at'))
  return tonumber(hung or 0), not hung and (told_at or failed_at) and true or false
end

-- A host's limit may be reached by tenants whose deliveries hang there. One that has none at it may have one in any
-- case, so that it does not wait for a time-out of theirs.
local function most_at_host(pair, most)
  local held = redis.call('ZCOUNT', KEY.telling .. pair, now, '+inf')
  return held == 0 and 2 * most or most
end

local function line_to(tenant, host, endpoint)
  return tenant .. ' ' .. host .. ' ' .. endpoint
end

-- `caps` is a JSON object: most at once to one endpoint, from one tenant to one host (pair), of one tenant, of one
-- tenant to endpoints that have not answered (unproven), to one host. `here` is the delivery that the script is about;
-- it needs no message.
local function telling(template, prefix, lease, claim_ms, caps, here)
  local most = cjson.decode(caps)
  local kind = {name = 'telling', longest = math.max(lease, claim_ms), granted = lease}

  function kind.line(name)
    local tenant, host, endpoint = name:match('^(%S*) (.*) (%S*)$')
    local pair = 'pair:' .. tenant .. ' ' .. host
    local hung, is_proven = answers_of(tenant, endpoint)
    return {
      name = name,
      lanes = {
        {name = name, most = hung >= HUNG_OFTEN and 1 or most.endpoint},
        {name = pair, most = most.pair},
        {name = 'unproven:' .. tenant, most = most.unproven, is_open = is_proven},
        {name = 'tenant:' .. tenant, most = most.tenant},
        {name = 'host:' .. host, most = most_at_host(pair, most.host)},
      },
      paths = {{'host:' .. host, pair, name}, {'tenant:' .. tenant, name}},
    }
  end

  function kind.waits(id)
    return redis.call('HGET', KEY.delivery .. id, 'state') == 'pending'
  end

  function kind.wake(id)
    redis.call('HDEL', KEY.delivery .. id, 'line')
    redis.call('ZADD', KEY.deliveries_due, now + lease, id)
    if id == here then return end
    redis.call('HSET', KEY.delivery .. id, 'pushed', now)
    push(template, prefix, 'tell', 'tell', id)
  end

  return kind
end

local function is_disabled(tenant, endpoint)
  return redis.call('HEXISTS', KEY.endpoint .. tenant .. ':' .. endpoint, 'disabled_at') == 1
end

-- Notes that an endpoint is used. Of a tenant's endpoints the newest 1,000 are kept.
local function note_endpoint(tenant, endpoint)
  local index = KEY.endpoints .. tenant
  redis.call('ZADD', index, now, endpoint)
  for _, old in ipairs(redis.call('ZRANGE', index, 0, -1001)) do
    redis.call('DEL', KEY.endpoint .. tenant .. ':' .. old)
    redis.call('ZREM', index, old)
  end
end
