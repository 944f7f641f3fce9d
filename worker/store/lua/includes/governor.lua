-- The governor: an account's learned limit (additive increase, multiplicative decrease) and its circuit breaker.
-- @include queue

local PROBE_MS = 60000        -- how long a learned limit is kept before one more place is tried
local LONGEST_PAUSE_MS = 60000
local LONGEST_FULL_PAUSE_MS = 30000 -- between two probes of a queue that stays full and gives no time
local LONGEST_RETRY_AFTER_MS = 300000 -- the longest pause that an upstream may ask for
local STRAINS = 5
local LONGEST_ROUND = 16

-- A request was taken. Additive increase: if an account stays full for a round of requests without a refusal, one more
-- place is tried; never two unproven ones at the same time, and after a refusal only one per window.
local function learn_more(name, id)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'probe_at', 'window', 'probing')
  if known[1] ~= '1' then return end
  local limit = tonumber(known[2])
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
-- ended upstream were still counted here. Each cut doubles the window.
local function cut(key, name, probed)
  local known = redis.call('HMGET', key, 'learned', 'limit', 'window')
  if known[1] ~= '1' then return end
  local held = math.floor(redis.call('ZCARD', KEY.places .. name) * (probed and 1 or 0.75))
  local window = math.min((tonumber(known[3]) or PROBE_MS / 2) * 2, PROBE_MS * 16)
  redis.call('HSET', key, 'limit', math.max(1, math.min(tonumber(known[2]), held)), 'window', window,
    'probe_at', now + window, 'round', 0)
  redis.call('HDEL', key, 'probing')
end

-- The upstream's queue is full: one cut, a pause, then one probe. A refused probe means that the queue is still full,
-- not that the limit is too high, so the pauses grow. A pause that the upstream asks for is kept, and a little more
-- (jitter), so that not all accounts come back at once.
local function learn_less(name, placed, probed, pause, jitter)
  local key = KEY.upstream .. name
  if is_of_before(placed, redis.call('HGET', key, 'full_at')) then return end
  local times = redis.call('HINCRBY', key, 'full', 1)
  if times == 1 then cut(key, name, probed) end
  local own = math.min(LONGEST_FULL_PAUSE_MS, 1000 * 2 ^ math.min(times - 1, 10))
  pause = pause > 0 and math.max(1000, math.min(pause, LONGEST_RETRY_AFTER_MS)) or own
  redis.call('HSET', key, 'full_at', now, 'paused_until', now + math.floor(pause * (1 + jitter / 4)), 'reason', 'busy')
end

-- Opens the circuit breaker: pauses double with each moment of failure in a row, and each pause ends with one probe.
local function trip(name, placed, jitter, reason)
  local key = KEY.upstream .. name
  if is_of_before(placed, redis.call('HGET', key, 'tripped_at')) then return end
  local failures = redis.call('HINCRBY', key, 'failures', 1)
  local pause = math.min(LONGEST_PAUSE_MS, 250 * 2 ^ math.min(failures, 10))
  local paused_until = now + math.floor(pause * (0.75 + jitter / 2))
  redis.call('HSET', key, 'tripped_at', now, 'paused_until', paused_until, 'reason', reason)
end

-- An answer that proves nothing (time-out, 5xx). One is an accident, several in a row are an outage.
local function strain(name, id, placed, jitter, reason)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'tripped_at', 'failures', 'tried')
  if is_of_before(placed, known[1]) then return end
  if redis.call('HINCRBY', key, 'strains', 1) >= STRAINS or known[2] then
    trip(name, placed, jitter, reason)
  elseif known[3] == id then -- it was the probe of a full queue and proves nothing, so another probe follows
    redis.call('HDEL', key, 'tried', 'paused_until')
  end
end

local function close_breaker(key)
  if redis.call('HDEL', key, 'failures') == 1 then redis.call('HDEL', key, 'reason', 'paused_until', 'tried') end
end

-- An answer shows that the account works: an open breaker closes. The pause of a full queue ends only with a POST that
-- was sent after it was found full; an older one says nothing about the queue.
local function heal(name, placed)
  local key = KEY.upstream .. name
  redis.call('HDEL', key, 'strains')
  close_breaker(key)
  local full_at = redis.call('HGET', key, 'full_at')
  if placed and full_at and not is_of_before(placed, full_at) and redis.call('HDEL', key, 'full') == 1 then
    redis.call('HDEL', key, 'reason', 'paused_until', 'tried')
  end
end

-- A result came by callback or poll, so its POST was taken, whatever its answer was. That closes a breaker that was
-- opened by lost answers. The result of an older POST does not close a breaker that was opened because the account is
-- down.
local function hear(name, placed)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'strains', 'tripped_at')
  redis.call('HDEL', key, 'strains')
  local lost_answers = tonumber(known[1] or 0) >= STRAINS
  if lost_answers or (placed and not is_of_before(placed, known[2])) then close_breaker(key) end
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
