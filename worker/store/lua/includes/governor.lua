-- For scripts that report how an upstream account behaves: its learned limit and its circuit breaker.
-- @include queue

local PROBE_MS = 60000        -- how long a learned limit is kept before one more place is tried
local LONGEST_PAUSE_MS = 60000
local LONGEST_FULL_PAUSE_MS = 30000 -- between two tries of a queue that stays full and does not say for how long
local LONGEST_RETRY_AFTER_MS = 300000 -- what an upstream may ask for, whatever it says
local STRAINS = 5
local LONGEST_ROUND = 16

-- A taken request. Additive increase: an account that stays full for a round of requests without a refusal is tried
-- with one place more, never with two that are not proven, and after a refusal only once a window.
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
  -- one that was taken proves little: others may have ended upstream meanwhile, and we not have heard of it
  if redis.call('HINCRBY', key, 'round', 1) < math.min(limit, LONGEST_ROUND) then return end
  redis.call('HSET', key, 'limit', limit + 1, 'probing', '', 'round', 0) -- dispatch() says which job it is
  if known[4] then redis.call('HSET', key, 'probe_at', now + tonumber(known[4])) end
end

-- A POST whose place was given before the account was last found full, or down, belongs to that moment: however many of
-- them are refused, they say what the first has said. The next moment begins with one try (dispatch).
local function is_of_before(placed, moment)
  return placed and moment and tonumber(placed) < tonumber(moment)
end

-- A refused probe says that the limit was right; any other that it was too high, as jobs that had ended upstream were
-- still counted here. Each cut doubles the window.
local function cut(key, name, probed)
  local known = redis.call('HMGET', key, 'learned', 'limit', 'window')
  if known[1] ~= '1' then return end
  local held = math.floor(redis.call('ZCARD', KEY.places .. name) * (probed and 1 or 0.75))
  local window = math.min((tonumber(known[3]) or PROBE_MS / 2) * 2, PROBE_MS * 16)
  redis.call('HSET', key, 'limit', math.max(1, math.min(tonumber(known[2]), held)), 'window', window,
    'probe_at', now + window, 'round', 0)
  redis.call('HDEL', key, 'probing')
end

-- The upstream's queue is full: one cut, then a pause, then one try. A try that is refused says that the queue is still
-- full, not that the limit is too high: the pauses grow. What the upstream asks for is waited for, and a little more,
-- so that not everybody comes back at once.
local function learn_less(name, placed, probed, pause, jitter)
  local key = KEY.upstream .. name
  if is_of_before(placed, redis.call('HGET', key, 'full_at')) then return end
  local times = redis.call('HINCRBY', key, 'full', 1)
  if times == 1 then cut(key, name, probed) end
  local own = math.min(LONGEST_FULL_PAUSE_MS, 1000 * 2 ^ math.min(times - 1, 10))
  pause = pause > 0 and math.max(1000, math.min(pause, LONGEST_RETRY_AFTER_MS)) or own
  redis.call('HSET', key, 'full_at', now, 'paused_until', now + math.floor(pause * (1 + jitter / 4)), 'reason', 'busy')
end

-- The breaker: pauses double with each moment of failure in a row, and each pause ends in one try.
local function trip(name, placed, jitter, reason)
  local key = KEY.upstream .. name
  if is_of_before(placed, redis.call('HGET', key, 'tripped_at')) then return end
  local failures = redis.call('HINCRBY', key, 'failures', 1)
  local pause = math.min(LONGEST_PAUSE_MS, 250 * 2 ^ math.min(failures, 10))
  local paused_until = now + math.floor(pause * (0.75 + jitter / 2))
  redis.call('HSET', key, 'tripped_at', now, 'paused_until', paused_until, 'reason', reason)
end

-- An answer that proves nothing (time-out, 5xx): one is an accident, several in a row are an outage.
local function strain(name, id, placed, jitter, reason)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'tripped_at', 'failures', 'tried')
  if is_of_before(placed, known[1]) then return end
  if redis.call('HINCRBY', key, 'strains', 1) >= STRAINS or known[2] then
    trip(name, placed, jitter, reason)
  elseif known[3] == id then -- the one try of a full queue: it has said nothing, so another is tried
    redis.call('HDEL', key, 'tried', 'paused_until')
  end
end

local function close_breaker(key)
  if redis.call('HDEL', key, 'failures') == 1 then redis.call('HDEL', key, 'reason', 'paused_until', 'tried') end
end

-- An answer that shows that the account works: a tripped breaker closes. The pause of a full queue ends with a POST
-- that was taken since: any other says nothing about the queue.
local function heal(name, placed)
  local key = KEY.upstream .. name
  redis.call('HDEL', key, 'strains')
  close_breaker(key)
  local full_at = redis.call('HGET', key, 'full_at')
  if placed and full_at and not is_of_before(placed, full_at) and redis.call('HDEL', key, 'full') == 1 then
    redis.call('HDEL', key, 'reason', 'paused_until', 'tried')
  end
end

-- A result came by callback or poll: its POST was taken, whatever its answer was. It closes a breaker that lost answers
-- have tripped; an old one says nothing of an account that cannot be reached, or is refused, since.
local function hear(name, placed)
  local key = KEY.upstream .. name
  local known = redis.call('HMGET', key, 'strains', 'tripped_at')
  redis.call('HDEL', key, 'strains')
  local lost_answers = tonumber(known[1] or 0) >= STRAINS
  if lost_answers or (placed and not is_of_before(placed, known[2])) then close_breaker(key) end
end

local FLOW_KEPT_SECONDS = 600 -- what was learned is forgotten where nothing was learned for so long

-- Recent durations, newer ones counting for more: what waiting jobs are told is computed from them.
local function smooth(field, ms)
  local known = tonumber(redis.call('HGET', KEY.flow, field))
  redis.call('HSET', KEY.flow, field, math.floor(known and known + (ms - known) / 8 or ms))
  redis.call('EXPIRE', KEY.flow, FLOW_KEPT_SECONDS)
end

-- A tenant's quickest job of late, from its intent to its end: a quicker one sets it, a slower one moves it a little
-- towards its own time, so that it follows an upstream that has become slow. Of one tenant: that somebody's jobs are
-- slow says nothing of another's.
local function note_quickest(tenant, ms)
  local key = KEY.quickest .. tenant
  local known = tonumber(redis.call('GET', key))
  redis.call('SET', key, math.floor(known and known < ms and known + (ms - known) / 20 or ms), 'EX', FLOW_KEPT_SECONDS)
end

-- A job was not bought because of it. It moves down: a tenant's slow jobs must not keep its quick ones from ever being
-- bought; after some of them one is tried, and tells.
local function doubt_quickest(tenant)
  local key = KEY.quickest .. tenant
  local known = tonumber(redis.call('GET', key))
  if known then redis.call('SET', key, math.floor(known * 0.95), 'KEEPTTL') end
end
