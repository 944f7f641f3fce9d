-- For every script that moves jobs between the backlogs, the places upstream and Celery.
-- @include prelude

-- Start-time fair queueing. Virtual time is counted in whole numbers, so that predictions are exact. TURN is one turn
-- of a tenant with weight 1; a tenant with more weight has shorter turns.
local TURN = 1000000

local function turn_of(weight)
  return math.max(1, math.floor(TURN / tonumber(weight or 1)))
end

-- Sets a tenant's position after its first job or its virtual time has changed. Each step of priority above the normal
-- one is a head start of one turn. The turn is paid for nevertheless.
local function line_up(tenant)
  local first = redis.call('ZRANGE', KEY.backlog .. tenant, 0, 0)[1]
  if not first or redis.call('HEXISTS', KEY.tenant .. tenant, 'paused') == 1 then
    redis.call('ZREM', KEY.fair, tenant)
    return
  end
  local at = tonumber(redis.call('HGET', KEY.fair_time, tenant) or 0)
  local priority = tonumber(redis.call('HGET', KEY.job .. first, 'priority') or 5)
  redis.call('ZADD', KEY.fair, at - (priority - 5) * TURN, tenant)
end

-- An idle tenant starts at the queue's clock, so that it cannot save up credit.
local function catch_up(tenant)
  local at = tonumber(redis.call('HGET', KEY.fair_time, tenant) or 0)
  local clock = tonumber(redis.call('GET', KEY.fair_clock) or 0)
  redis.call('HSET', KEY.fair_time, tenant, math.max(at, clock))
end

local function grow_backlog(tenant, by)
  redis.call('INCRBY', KEY.waiting, by)
  local size = redis.call('HINCRBY', KEY.backlogs, tenant, by)
  if size == 0 then redis.call('HDEL', KEY.backlogs, tenant) end
  return size
end

-- Returns how many of its tenant's jobs go before it, and how many the tenant has, with this one.
local function enqueue(id, tenant, rank)
  local backlog = KEY.backlog .. tenant
  if redis.call('ZADD', backlog, rank, id) == 0 then return end
  local size = grow_backlog(tenant, 1)
  local own = redis.call('ZRANK', backlog, id)
  if size == 1 then catch_up(tenant) end
  if own == 0 then line_up(tenant) end
  return own, size
end

local function dequeue(id, tenant)
  if redis.call('ZREM', KEY.backlog .. tenant, id) == 1 then
    grow_backlog(tenant, -1)
    line_up(tenant)
  end
end

-- Nothing is bought while images cannot be stored, or while an operator has paused everything.
local function held_back()
  return redis.call('EXISTS', KEY.store_away) + redis.call('EXISTS', KEY.paused) > 0
end

-- An account that is in no worker's configuration, or is drained by an operator, gets no jobs.
local function is_used(seen, drained)
  return not drained and is_seen(seen)
end

-- Whether what was learned from the refusals of `whose` jobs holds for that tenant: one tenant's refusals may be due to
-- its own requests, so they hold back its own jobs only (includes/governor.lua). None, or '': everybody's.
local function concerns(whose, tenant)
  return not whose or whose == '' or whose == tenant
end

-- The account's limit for a tenant. `uncut`: the limit before `cut_of` was told that the queue is full.
local function limit_for(tenant, limit, uncut, cut_of)
  return tonumber(not concerns(cut_of, tenant) and uncut or limit or 1)
end

-- The lease of a place is the last resort: every step that ends the upstream's part frees the place.
local PLACE_LEASE_MS = 86400000
local LEAST_KEPT_MS = 300000

local MOST_DOUBTS = 64 -- places that are looked at one by one
local ID_CHARACTERS = 26

-- The places of an account as that tenant must count them. If nobody knows whether a POST was taken, its place is kept,
-- but from its own tenant only: a tenant's requests that end like this must not take the account from the others. The
-- second result: whether places are kept, so that the numbers may differ between tenants.
local function held_for(tenant, name, limit)
  local held = redis.call('ZCARD', KEY.places .. name)
  if held < limit then return held, false end
  local kept = redis.call('ZRANGEBYSCORE', KEY.places .. name,
    '-inf', now + PLACE_LEASE_MS / 2, 'LIMIT', 0, MOST_DOUBTS)
  for _, member in ipairs(kept) do -- a job, or an earlier attempt of one (keep_beside)
    local doubt, whose = unpack(redis.call('HMGET', KEY.job .. member:sub(1, ID_CHARACTERS), 'doubt', 'tenant'))
    if (doubt or #member > ID_CHARACTERS) and whose ~= tenant then held = held - 1 end
  end
  return held, #kept > 0
end

-- The least loaded upstream account with a free place for that tenant, and whether there is one that may have a place
-- for other tenants only. After its pause an account that is down or full gets one probe.
local function free_account(tenant)
  local best, best_load, for_others
  for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
    local most, paused_until, seen, drained, of, uncut, cut_of = unpack(redis.call('HMGET', KEY.upstream .. name,
      'limit', 'paused_until', 'seen', 'drained', 'of', 'uncut', 'cut_of'))
    if is_used(seen, drained) then
      for_others = for_others or of == tenant or cut_of == tenant
      if tonumber(paused_until or 0) <= now or not concerns(of, tenant) then
        local limit = limit_for(tenant, most, uncut, cut_of)
        local held, are_kept = held_for(tenant, name, limit)
        for_others = for_others or are_kept
        if held < limit and (not best or held / limit < best_load) then
          best, best_load = name, held / limit
        end
      end
    end
  end
  return best, for_others
end

local MOST_LOOKED_PAST = 32 -- tenants, in one look for one that is not held back

-- Who is served next, its score in the line, and the account: the first tenant in the line that some account takes. A
-- tenant that was looked past starts again at the queue's clock, as one that was idle.
local function next_turn()
  if held_back() then return nil end
  local line = redis.call('ZRANGE', KEY.fair, 0, 0, 'WITHSCORES')
  if not line[1] then return nil end
  local account, for_others = free_account(line[1])
  if account or not for_others then return line[1], line[2], account end
  local first = line[1]
  line = redis.call('ZRANGE', KEY.fair, 1, MOST_LOOKED_PAST, 'WITHSCORES')
  for each = 1, #line, 2 do
    account = free_account(line[each])
    if account then
      catch_up(first)
      line_up(first)
      return line[each], line[each + 1], account
    end
  end
end

-- The next job of that tenant, which pays for a turn; within the tenant the order is by rank.
local function serve(tenant, score)
  local at = tonumber(redis.call('HGET', KEY.fair_time, tenant) or 0)
  local clock = tonumber(redis.call('GET', KEY.fair_clock) or 0)
  redis.call('SET', KEY.fair_clock, math.max(clock, math.min(at, tonumber(score))))
  redis.call('HSET', KEY.fair_time, tenant, at + turn_of(redis.call('HGET', KEY.fair_weights, tenant)))
  local popped = redis.call('ZPOPMIN', KEY.backlog .. tenant)[1]
  if popped then grow_backlog(tenant, -1) end
  line_up(tenant)
  return popped
end

-- When a place is freed although the upstream may still work: its job has ended, or nobody knows whether its POST was
-- taken.
local function kept_until()
  return now + math.max(LEAST_KEPT_MS, 3 * tonumber(redis.call('HGET', KEY.flow, 'hold_ms') or 0))
end

local function give_back_later(id, name)
  redis.call('ZADD', KEY.places .. name, 'XX', 'LT', kept_until(), id)
end

-- The job is sent again while nobody knows whether the upstream has the earlier attempt, so it may hold two places.
local function keep_beside(id, number, name)
  local since = redis.call('ZSCORE', KEY.places .. name, id)
  if since then redis.call('ZADD', KEY.places .. name, math.min(since, kept_until()), id .. '-' .. number) end
end

local function dispatch(id, tenant, name, template, prefix, lease_ms)
  redis.call('ZADD', KEY.places .. name, now + PLACE_LEASE_MS, id)
  redis.call('HSET', KEY.job .. id, 'place', name, 'placed', now, 'pushed', now)
  redis.call('ZADD', KEY.due, 'LT', now + lease_ms, id)
  push(template, prefix, 'submit', 'submit', id)
  local failures, probing, limit, full, of = unpack(redis.call('HMGET', KEY.upstream .. name,
    'failures', 'probing', 'limit', 'full', 'of'))
  if (failures or full) and concerns(of, tenant) then -- one probe, and nothing more until its answer
    redis.call('HSET', KEY.upstream .. name, 'paused_until', now + lease_ms, 'tried', id)
  end
  if probing == '' and redis.call('ZCARD', KEY.places .. name) >= tonumber(limit) then
    redis.call('HSET', KEY.upstream .. name, 'probing', id)
  end
end

-- Frees a job's place; false if it was free already. If the place was an unproven one (a probe for a higher limit), the
-- limit goes down again. `placed` stays, to measure the time from place to end later.
local function release(id, name)
  local held = redis.call('ZREM', KEY.places .. name, id) == 1
  redis.call('HDEL', KEY.job .. id, 'place', 'doubt')
  -- the probe has ended; another one may follow, unless its result forbids it (governor.lua, after this)
  if redis.call('HGET', KEY.upstream .. name, 'tried') == id then
    redis.call('HDEL', KEY.upstream .. name, 'tried', 'paused_until')
  end
  if redis.call('HGET', KEY.upstream .. name, 'probing') == id then
    redis.call('HDEL', KEY.upstream .. name, 'probing')
    redis.call('HINCRBY', KEY.upstream .. name, 'limit', -1)
  end
  return held
end

-- It waited until its deadline: a worker will end it (overdue.lua), without a message.
local function hand_to_its_end(id, tenant, deadline)
  redis.call('ZADD', KEY.overdue_of .. tenant, 'NX', deadline, id)
  redis.call('ZADD', KEY.overdue, 'NX', now, tenant)
end

-- A place for it would cost a message, which stays in the list when the job has ended: thousands of a tenant's jobs
-- with one deadline, each placed and ended, would put as many messages before those of everybody.
local function goes_to_its_end(id, tenant)
  local deadline = tonumber(redis.call('HGET', KEY.job .. id, 'deadline'))
  if not deadline or deadline > now then return false end
  hand_to_its_end(id, tenant, deadline)
  return true
end

-- The dispatcher: hands waiting jobs to Celery while places are free. The only way out of the backlogs. If a limit was
-- raised by thousands, it is filled in several runs, so that no run blocks Redis for long.
local MOST_AT_ONCE = 500

local function pump(template, prefix, lease_ms)
  for _ = 1, MOST_AT_ONCE do
    local tenant, score, name = next_turn()
    if not name then return end
    local id = serve(tenant, score)
    if id and not goes_to_its_end(id, tenant) then dispatch(id, tenant, name, template, prefix, lease_ms) end
  end
end
