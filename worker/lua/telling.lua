-- Put before the scripts that move deliveries: states counted, places per host and per tenant, the lines before them.
--
-- delivery:<id>           HASH  job tenant state created_at pushed tries attempts
--                               | not_before claimed_until endpoint round (tries before the last replay) line
-- deliveries:<job>        LIST  ids of a job's deliveries
-- deliveries:due          ZSET  delivery id → ms at which somebody must look at it; every pending one is in it
-- deliveries:tenant:<t>   ZSET  delivery id → when it was made; forgotten with its job
-- deliveries:counts       HASH  state → deliveries
-- telling:<lane>          ZSET  delivery id → ms at which its place is given back by itself; lane: host:<h>, tenant:<t>
-- line:<lane>             ZSET  delivery id → since when it could be told; waits for a place, holds no thread
-- endpoints:<tenant>      ZSET  endpoint id → when it was last used; the newest 1,000
-- endpoint:<t>:<id>       HASH  url told_at failed_at failing_since failures | disabled_at reason
-- replays:<tenant>        STR   when the last of the deliveries that are replayed in bulk comes
-- webhook_secret:<tenant> ZSET  secret → ms until which it signs; +inf for the newest
local function to_state(id, state)
  local from = redis.call('HGET', 'delivery:' .. id, 'state')
  if from == state then return end
  redis.call('HSET', 'delivery:' .. id, 'state', state)
  if from then redis.call('HINCRBY', 'deliveries:counts', from, -1) end
  redis.call('HINCRBY', 'deliveries:counts', state, 1)
end

local function is_free(lane)
  redis.call('ZREMRANGEBYSCORE', 'telling:' .. lane.name, '-inf', now)
  return redis.call('ZCARD', 'telling:' .. lane.name) < lane.most
end

-- The first that waits for a place there goes to a worker; it takes the place itself, or stands in line again.
local function wake(lane, template, prefix, lease)
  if not is_free(lane) then return end
  for _ = 1, 100 do
    local id = redis.call('ZPOPMIN', 'line:' .. lane.name)[1]
    if not id then return end
    if redis.call('HGET', 'delivery:' .. id, 'state') == 'pending' then
      redis.call('HSET', 'delivery:' .. id, 'pushed', now)
      redis.call('HDEL', 'delivery:' .. id, 'line')
      redis.call('ZADD', 'deliveries:due', now + lease, id)
      push(template, prefix, 'tell', 'tell', id)
      return
    end
  end
end

local function is_disabled(tenant, endpoint)
  return redis.call('HEXISTS', 'endpoint:' .. tenant .. ':' .. endpoint, 'disabled_at') == 1
end

-- An endpoint that is used stays known; of those a tenant has left behind, the oldest are forgotten.
local function note_endpoint(tenant, endpoint)
  local index = 'endpoints:' .. tenant
  redis.call('ZADD', index, now, endpoint)
  for _, old in ipairs(redis.call('ZRANGE', index, 0, -1001)) do
    redis.call('DEL', 'endpoint:' .. tenant .. ':' .. old)
    redis.call('ZREM', index, old)
  end
end
