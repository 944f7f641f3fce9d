-- For scripts that compute the queue position of waiting jobs, and their predicted wait.
-- @include queue

local MOST_SURVEYED = 64 -- tenants that are counted one by one; those behind are assumed to be like them

local FEW = 8 -- up to so many tenants are always counted again
local FRESH_MS = 250

-- The tenants that are served next, as parallel lists: name, virtual time, jobs, length of a turn; and how many tenants
-- come after them. With many tenants the list is cached for a quarter of a second: reading it for every accept would
-- cost more than the accept.
local function line_of_tenants()
  local many = redis.call('ZCARD', KEY.fair) > FEW
  local kept = many and redis.call('GET', KEY.fair_line)
  if kept then return cmsgpack.unpack(kept) end
  local listed = redis.call('ZRANGE', KEY.fair, 0, MOST_SURVEYED - 1, 'WITHSCORES')
  local beyond = math.max(0, redis.call('ZCARD', KEY.fair) - MOST_SURVEYED)
  local line = {names = {}, at = {}, sizes = {}, turns = {}, beyond = beyond}
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

-- All tenants in the queue, from the view of one: its own virtual time and turn, and those of the others.
local function survey(tenant, size)
  local at = tonumber(redis.call('HGET', KEY.fair_time, tenant) or 0)
  local clock = size == 0 and tonumber(redis.call('GET', KEY.fair_clock) or 0)
  local turn = turn_of(redis.call('HGET', KEY.fair_weights, tenant))
  return {tenant = tenant, at = clock and math.max(at, clock) or at, size = size, turn = turn, line = line_of_tenants()}
end

-- How many jobs of all tenants go before a job that has `own` jobs of its tenant before it. For each other tenant,
-- count the turns that start before ours, or at the same time if its name comes first. Only arithmetic, no call to
-- Redis.
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

-- The upstream accounts as they are for that tenant, the number of all places and of free ones, and the recent
-- durations in ms. `accounts` has the shape of worker/store/standing.py.
local function pace(tenant)
  local found = {accounts = {}, places = 0, free = 0, held_back = held_back()}
  for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
    local most, paused_until, seen, drained, failures, reason, of, uncut, cut_of = unpack(redis.call('HMGET',
      KEY.upstream .. name, 'limit', 'paused_until', 'seen', 'drained', 'failures', 'reason', 'of', 'uncut', 'cut_of'))
    if not concerns(of, tenant) then failures, paused_until, reason = false, false, false end
    if is_seen(seen) then
      local limit = limit_for(tenant, most, uncut, cut_of)
      local held = held_for(tenant, name, limit)
      local resting = tonumber(paused_until or 0) > now
      local state = drained and 'drained' or failures and 'broken' or resting and 'resting' or 'open'
      found.accounts[#found.accounts + 1] = {
        name = name, held = held, limit = limit, state = state, paused_until = paused_until, reason = reason,
      }
      if state == 'open' or state == 'resting' then
        found.places = found.places + limit
        found.free = found.free + (state == 'open' and math.max(0, limit - held) or 0)
      end
    end
  end
  local hold_ms, done_ms = unpack(redis.call('HMGET', KEY.flow, 'hold_ms', 'done_ms'))
  found.hold, found.done = tonumber(hold_ms), tonumber(done_ms)
  return found
end

-- Milliseconds until a job with so many before it has its place; nil: unknown. `found` is the result of pace(tenant).
local function wait_ms(found, before)
  if found.held_back then return nil end
  if before < found.free then return 0 end
  if found.places == 0 or not found.hold then return nil end
  return math.floor((before - found.free + 1) * found.hold / found.places)
end

-- The standing of a waiting job, in the shape of worker/store/standing.py.
local function standing_of(own, before, crowd, found, tenant_paused)
  local why = found.held_back and (redis.call('GET', KEY.paused) or redis.call('GET', KEY.store_away))
  return {
    position = before,
    own_position = own,
    own_waiting = crowd.size,
    wait_ms = not tenant_paused and wait_ms(found, before),
    done_ms = found.done,
    held_back = why,
    tenant_paused = tenant_paused,
    accounts = found.accounts,
  }
end
