-- Put before scripts that say where waiting jobs stand and how long that will take.
-- @include queue

local MOST_SURVEYED = 64 -- tenants that are counted one by one; those behind are taken to be like them

local FEW = 8 -- tenants that are always counted afresh
local FRESH_MS = 250

-- The tenants that are served next, as parallel lists: name, when, jobs, length of a turn; and how many come after them.
-- With many of them it is read again four times a second: reading it for every accept would cost more than the accept.
local function line_of_tenants()
  local many = redis.call('ZCARD', KEY.fair) > FEW
  local kept = many and redis.call('GET', KEY.fair_line)
  if kept then return cmsgpack.unpack(kept) end
  local listed = redis.call('ZRANGE', KEY.fair, 0, MOST_SURVEYED - 1, 'WITHSCORES')
  local line = {names = {}, at = {}, sizes = {}, turns = {}, beyond = math.max(0, redis.call('ZCARD', KEY.fair) - MOST_SURVEYED)}
  for each = 1, #listed, 2 do
    line.names[#line.names + 1], line.at[#line.at + 1] = listed[each], tonumber(listed[each + 1])
  end
  if #line.names == 0 then return line end
  local sizes = redis.call('HMGET', KEY.backlogs, unpack(line.names))
  local weights = redis.call('HMGET', KEY.fair_weights, unpack(line.names))
  for each = 1, #line.names do
    line.sizes[each], line.turns[each] = tonumber(sizes[each] or 0), turn_of(weights[each])
  end
  if many then redis.call('SET', KEY.fair_line, cmsgpack.pack(line), 'PX', FRESH_MS) end
  return line
end

-- Everybody who stands in the queue, as the tenant sees it: its own virtual time and turn, and the others'.
local function survey(tenant, size)
  local at = tonumber(redis.call('HGET', KEY.fair_time, tenant) or 0)
  local clock = size == 0 and tonumber(redis.call('GET', KEY.fair_clock) or 0)
  local turn = turn_of(redis.call('HGET', KEY.fair_weights, tenant))
  return {tenant = tenant, at = clock and math.max(at, clock) or at, size = size, turn = turn, line = line_of_tenants()}
end

-- How many jobs of all tenants go before the one with `own` jobs of its tenant before it: of each other tenant its turns
-- that start before ours, or at the same time where its name comes first. Plain arithmetic, without a call.
local function jobs_before(crowd, own, priority)
  local at = crowd.at + own * crowd.turn - (priority - 5) * TURN
  local line, before = crowd.line, 0
  local names, times, turns, sizes = line.names, line.at, line.turns, line.sizes
  for each = 1, #names do
    local gap = at - times[each]
    if gap >= 0 and names[each] ~= crowd.tenant then
      local served = gap / turns[each]
      local whole = served - served % 1
      if whole ~= served or names[each] < crowd.tenant then whole = whole + 1 end
      before = before + (whole < sizes[each] and whole or sizes[each])
    end
  end
  return own + before + (line.beyond > 0 and math.floor(before / #names * line.beyond) or 0)
end

-- The upstream keys as a waiting job sees them, their places in all, how many are free, and the recent durations in ms.
-- keys: {name, held, limit, state, paused_until, reason, …}, flat.
local function pace()
  local found = {keys = {}, places = 0, free = 0, held_back = held_back()}
  for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
    local key = redis.call('HMGET', KEY.upstream .. name, 'limit', 'paused_until', 'seen', 'drained', 'failures', 'reason')
    if is_seen(key[3]) then
      local held, limit = redis.call('ZCARD', KEY.places .. name), tonumber(key[1] or 1)
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
  local flow = redis.call('HMGET', KEY.flow, 'hold_ms', 'done_ms')
  found.hold, found.done = tonumber(flow[1]), tonumber(flow[2])
  return found
end

-- Until a job with so many before it has its place; nil where nobody knows. `pace` as above.
local function wait_ms(found, before)
  if found.held_back then return nil end
  if before < found.free then return 0 end
  if found.places == 0 or not found.hold then return nil end
  return math.floor((before - found.free + 1) * found.hold / found.places)
end

-- What a job that stands in the queue is told, flat: jobs before it, its tenant's before it, its tenant's in all,
-- ms until its place or -1, ms from then to its end or -1, why everything is held back, why its tenant is, keys.
local function standing_of(own, before, crowd, found, tenant_paused)
  local wait = wait_ms(found, before)
  local why = found.held_back and (redis.call('GET', KEY.paused) or redis.call('GET', KEY.store_away)) or ''
  return {before, own, crowd.size, (wait and not tenant_paused) and wait or -1, found.done or -1, why,
    tenant_paused or '', found.keys}
end
