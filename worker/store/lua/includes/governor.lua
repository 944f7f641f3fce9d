-- The governor: an account's learned limit (additive increase, multiplicative decrease) and its circuit breaker.
-- A refusal may be due to the request itself. So one tenant's refusals hold back only that tenant's jobs (`of` and
-- `cut_of`; concerns() in queue.lua). A second tenant's refusal confirms them, and holds back everybody's.
-- @include queue

local PROBE_MS = 60000        -- how long a learned limit is kept before one more place is tried
local LONGEST_PAUSE_MS = 60000
local LONGEST_FULL_PAUSE_MS = 30000 -- between two probes of a queue that stays full and gives no time
local LONGEST_RETRY_AFTER_MS = 300000 -- the longest pause that an upstream may ask for
local STRAINS = 5
local LONGEST_ROUND = 16

-- A limit that was cut on one tenant's word rises again when another tenant's request is taken beside more jobs.
local function restore(key, name, tenant, limit, uncut, cut_of)
  if not concerns(cut_of, tenant) then
    limit = math.max(limit, math.min(uncut, redis.call('ZCARD', KEY.places .. name)))
    redis.call('HSET', key, 'limit', limit)
  end
  if limit >= uncut then redis.call('HDEL', key, 'uncut', 'cut_of') end
  return limit
end

-- A request was taken. Additive increase: if an account stays full for a round of requests without a refusal, one more
-- place is tried; never two unproven ones at the same time, and after a refusal only one per window.
local function learn_more(name, tenant, id)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'probe_at', 'window', 'probing', 'uncut', 'cut_of')
  if known[1] ~= '1' then return end
  local limit = tonumber(known[2])
  if known[6] then limit = restore(key, name, tenant, limit, tonumber(known[6]), known[7]) end
  if known[5] == id then
    redis.call('HDEL', key, 'probing')
    if known[4] then redis.call('HSET', key, 'window', PROBE_MS) end
  elseif known[5] then
    return
  end
  if redis.call('ZCARD', KEY.places .. name) < limit or tonumber(known[3] or 0) > now then return end
  -- one taken request proves little: others may have ended upstream without our knowing it yet
  if redis.call('HINCRBY', key, 'round', 1) < math.min(limit, LONGEST_ROUND) then return end
  redis.call('HSET', key, 'limit', limit + 1, 'probing', '', 'round', 0) -- dispatch() says which job it is
  if known[4] then redis.call('HSET', key, 'probe_at', now + tonumber(known[4])) end
end

-- A POST whose place was given before the account was last found full or down belongs to that moment: its refusal says
-- nothing new. The next moment begins with one probe (dispatch).
local function is_of_before(placed, moment)
  return placed and moment and tonumber(placed) < tonumber(moment)
end

-- A refused probe means that the limit was right. Any other refusal means that it was too high, because jobs that had
-- ended upstream were still counted here. Each cut doubles the window. With a `tenant` the cut holds for that one only,
-- until another tenant is refused as well.
local function cut(key, name, tenant, probed)
  local known = redis.call('HMGET', key, 'learned', 'limit', 'window', 'uncut')
  if known[1] ~= '1' then return end
  local most = tenant and known[2] or known[4] or known[2]
  if tenant then
    redis.call('HSETNX', key, 'uncut', most)
    redis.call('HSET', key, 'cut_of', tenant)
  else
    redis.call('HDEL', key, 'uncut', 'cut_of')
  end
  local held = math.floor(redis.call('ZCARD', KEY.places .. name) * (probed and 1 or 0.75))
  local window = math.min((tonumber(known[3]) or PROBE_MS / 2) * 2, PROBE_MS * 16)
  redis.call('HSET', key, 'limit', math.max(1, math.min(tonumber(most), held)), 'window', window,
    'probe_at', now + window, 'round', 0)
  redis.call('HDEL', key, 'probing')
end

-- Nothing is held back any more.
local function forget_failures(key)
  redis.call('HDEL', key, 'failures', 'full', 'reason', 'paused_until', 'tried', 'of', 'works')
end

-- Whose jobs the next pause holds back: those of `tenant`; or everybody's (nil) if its cause cannot be a request, or if
-- another tenant was refused before and no other one's request was taken since (`works`). If one was taken, the account
-- works, and this tenant has trouble of its own: it takes the other's place, who will be back with its next refusal.
local function blame(key, tenant)
  local of, works, failures, full = unpack(redis.call('HMGET', key, 'of', 'works', 'failures', 'full'))
  local is_open = failures or full
  if is_open and concerns(of, tenant) then return end
  local whose = tenant
  if is_open and not works then whose = nil end
  forget_failures(key) -- its pauses were another one's
  redis.call('HSET', key, 'of', whose or '')
end

-- The upstream's queue is full: one cut, a pause, then one probe. A refused probe means that the queue is still full,
-- not that the limit is too high, so the pauses grow. A pause that the upstream asks for is kept, and a little more
-- (jitter), so that not all accounts come back at once.
local function learn_less(name, tenant, placed, probed, pause, jitter)
  local key = KEY.upstream .. name
  local full_at, of, cut_of = unpack(redis.call('HMGET', key, 'full_at', 'of', 'cut_of'))
  if concerns(of, tenant) and is_of_before(placed, full_at) then return end
  local whose = tenant
  if not concerns(cut_of, tenant) then whose = nil end -- two tenants have been told so
  blame(key, whose)
  local times = redis.call('HINCRBY', key, 'full', 1)
  if times == 1 then cut(key, name, whose, probed) end
  local own = math.min(LONGEST_FULL_PAUSE_MS, 1000 * 2 ^ math.min(times - 1, 10))
  pause = pause > 0 and math.max(1000, math.min(pause, LONGEST_RETRY_AFTER_MS)) or own
  redis.call('HSET', key, 'full_at', now, 'paused_until', now + math.floor(pause * (1 + jitter / 4)), 'reason', 'busy')
end

-- Opens the circuit breaker: pauses double with each moment of failure in a row, and each pause ends with one probe.
-- Without a `tenant` it opens for everybody.
local function trip(name, tenant, placed, jitter, reason)
  local key = KEY.upstream .. name
  local tripped_at, of = unpack(redis.call('HMGET', key, 'tripped_at', 'of'))
  if concerns(of, tenant) and is_of_before(placed, tripped_at) then return end
  blame(key, tenant)
  local failures = redis.call('HINCRBY', key, 'failures', 1)
  local pause = math.min(LONGEST_PAUSE_MS, 250 * 2 ^ math.min(failures, 10))
  local paused_until = now + math.floor(pause * (0.75 + jitter / 2))
  redis.call('HSET', key, 'tripped_at', now, 'paused_until', paused_until, 'reason', reason)
end

-- An answer that proves nothing (time-out, 5xx). One is an accident, several in a row are an outage.
local function strain(name, tenant, id, placed, jitter, reason)
  local key = KEY.upstream .. name
  local tripped_at, failures, tried, of, works = unpack(redis.call('HMGET', key,
    'tripped_at', 'failures', 'tried', 'of', 'works'))
  local is_held = concerns(of, tenant)
  if is_held and is_of_before(placed, tripped_at) then return end
  local is_again = failures and (is_held or not works)
  if redis.call('HINCRBY', key, 'strains', 1) >= STRAINS or is_again then
    trip(name, tenant, placed, jitter, reason)
  elseif tried == id then -- it was the probe of a full queue and proves nothing, so another probe follows
    redis.call('HDEL', key, 'tried', 'paused_until')
  end
end

local function close_breaker(key, full)
  redis.call('HDEL', key, 'failures', 'reason', 'paused_until', 'tried')
  if not full then redis.call('HDEL', key, 'of', 'works') end
end

-- An answer shows that the account works: an open breaker closes. The pause of a full queue ends only with a POST that
-- was sent after it was found full; an older one says nothing about the queue. If another tenant's jobs are held back,
-- they stay so: the account works, their requests may not.
local function heal(name, tenant, placed)
  local key = KEY.upstream .. name
  redis.call('HDEL', key, 'strains')
  local failures, full, full_at, of = unpack(redis.call('HMGET', key, 'failures', 'full', 'full_at', 'of'))
  if not (failures or full) then return end
  if not concerns(of, tenant) then
    redis.call('HSET', key, 'works', 1)
  elseif not full or (placed and not is_of_before(placed, full_at)) then
    forget_failures(key)
  elseif failures then
    close_breaker(key, full)
  end
end

-- A result came by callback or poll, so its POST was taken, whatever its answer was. That closes a breaker that was
-- opened by lost answers. The result of an older POST does not close a breaker that was opened because the account is
-- down.
local function hear(name, tenant, placed)
  local key = KEY.upstream .. name
  local strains, tripped_at, failures, full, of = unpack(redis.call('HMGET', key,
    'strains', 'tripped_at', 'failures', 'full', 'of'))
  redis.call('HDEL', key, 'strains')
  local lost_answers = tonumber(strains or 0) >= STRAINS
  if failures and concerns(of, tenant) and (lost_answers or (placed and not is_of_before(placed, tripped_at))) then
    close_breaker(key, full)
  end
end

local FLOW_KEPT_SECONDS = 600 -- what was learned is forgotten after so long without news

-- Recent durations as a moving average; the predicted wait of jobs is computed from them.
local function smooth(field, ms)
  local known = tonumber(redis.call('HGET', KEY.flow, field))
  redis.call('HSET', KEY.flow, field, math.floor(known and known + (ms - known) / 8 or ms))
  redis.call('EXPIRE', KEY.flow, FLOW_KEPT_SECONDS)
end

-- A tenant's quickest recent job, from intent to end. A quicker job sets it; a slower one moves it a little towards its
-- own time, so that it follows an upstream that becomes slow. Per tenant, because one tenant's slow jobs say nothing
-- about another's.
local function note_quickest(tenant, ms)
  local key = KEY.quickest .. tenant
  local known = tonumber(redis.call('GET', key))
  redis.call('SET', key, math.floor(known and known < ms and known + (ms - known) / 20 or ms), 'EX', FLOW_KEPT_SECONDS)
end

-- A job was not bought because of this time. It goes down a little: a tenant's slow jobs must not keep its quick ones
-- out for ever. After some refusals one is bought, and shows the real time.
local function doubt_quickest(tenant)
  local key = KEY.quickest .. tenant
  local known = tonumber(redis.call('GET', key))
  if known then redis.call('SET', key, math.floor(known * 0.95), 'KEEPTTL') end
end
