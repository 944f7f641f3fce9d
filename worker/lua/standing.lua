-- Put before scripts that say where waiting jobs stand and how long that will take. Reads only.

local MOST_SURVEYED = 64 -- tenants that are counted one by one; those behind them are taken to be like them

-- Everybody who stands in the queue, as the tenant sees it: its own virtual time and turn, and the others'.
local function survey(tenant)
  local clock = tonumber(redis.call('GET', 'fair:clock') or 0)
  local at = tonumber(redis.call('HGET', 'fair:time', tenant) or 0)
  local size = tonumber(redis.call('HGET', 'backlogs', tenant) or 0)
  local crowd = {at = size > 0 and at or math.max(at, clock), size = size, others = {}, beyond = 0, tenant = tenant}
  crowd.turn = turn_of(redis.call('HGET', 'fair:weights', tenant))
  local line = redis.call('ZRANGE', 'fair', 0, MOST_SURVEYED - 1, 'WITHSCORES')
  local names = {}
  for each = 1, #line, 2 do names[#names + 1] = line[each] end
  if #names == 0 then return crowd end
  local sizes, weights = redis.call('HMGET', 'backlogs', unpack(names)), redis.call('HMGET', 'fair:weights', unpack(names))
  for each, name in ipairs(names) do
    if name ~= tenant then
      crowd.others[#crowd.others + 1] =
        {name = name, at = tonumber(line[each * 2]), size = tonumber(sizes[each] or 0), turn = turn_of(weights[each])}
    end
  end
  crowd.beyond = math.max(0, redis.call('ZCARD', 'fair') - MOST_SURVEYED)
  return crowd
end

-- How many jobs of all tenants go before the one with `own` jobs of its tenant before it. Plain arithmetic.
local function jobs_before(crowd, own, priority)
  local at = crowd.at + own * crowd.turn - (priority - 5) * TURN
  local before = 0
  for _, other in ipairs(crowd.others) do
    local turns = (at - other.at) / other.turn
    local first = turns >= 0 and turns == math.floor(turns) and other.name < crowd.tenant
    local served = math.ceil(turns) + (first and 1 or 0)
    before = before + math.max(0, math.min(other.size, served))
  end
  local beyond = #crowd.others > 0 and math.floor(before / #crowd.others * crowd.beyond) or 0
  return own + before + beyond
end

-- The upstream keys as a waiting job sees them, their places in all, how many are free, and the recent durations in ms.
-- keys: {name, held, limit, state, paused_until, reason, …}, flat.
local function pace()
  local found = {keys = {}, places = 0, free = 0}
  for _, name in ipairs(redis.call('SMEMBERS', 'upstreams')) do
    local key = redis.call('HMGET', 'upstream:' .. name, 'limit', 'paused_until', 'seen', 'drained', 'failures', 'reason')
    if not key[3] or now - tonumber(key[3]) < 30000 then
      local held, limit = redis.call('ZCARD', 'places:' .. name), tonumber(key[1] or 1)
      local resting = tonumber(key[2] or 0) > now
      local state = key[4] and 'drained' or key[5] and 'broken' or resting and 'resting' or 'open'
      for _, fact in ipairs({name, held, limit, state, key[2] or '0', key[6] or ''}) do
        found.keys[#found.keys + 1] = fact
      end
      if state == 'open' or state == 'resting' then
        found.places = found.places + limit
        found.free = found.free + (state == 'open' and math.max(0, limit - held) or 0)
      end
    end
  end
  local flow = redis.call('HMGET', 'flow', 'hold_ms', 'done_ms')
  found.hold, found.done = tonumber(flow[1]), tonumber(flow[2])
  return found
end

-- Until a job with so many before it has its place; nil where nobody knows. `pace` as above.
local function wait_ms(found, before)
  if held_back() then return nil end
  if before < found.free then return 0 end
  if found.places == 0 or not found.hold then return nil end
  return math.floor((before - found.free + 1) * found.hold / found.places)
end

-- What a job that stands in the queue is told, flat: jobs before it, its tenant's before it, its tenant's in all,
-- ms until its place or -1, ms from then to its end or -1, why everything is held back, why its tenant is, keys.
local function standing_of(id, tenant, priority, crowd, found)
  local own = redis.call('ZRANK', 'backlog:' .. tenant, id) or 0
  local before = jobs_before(crowd, own, priority)
  local wait = wait_ms(found, before)
  local why = redis.call('GET', 'paused') or redis.call('GET', 'store:away') or ''
  local tenant_paused = redis.call('HGET', 'tenant:' .. tenant, 'paused')
  return {before, own, crowd.size, (wait and not tenant_paused) and wait or -1, found.done or -1, why,
    tenant_paused or '', found.keys}
end
