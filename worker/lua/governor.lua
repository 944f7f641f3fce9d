-- Put before scripts that report how an upstream key behaves: its learned limit and its breaker.

local PROBE_MS = 60000        -- how long a learned limit is kept before one more place is tried
local LONGEST_PAUSE_MS = 60000
local LONGEST_RETRY_AFTER_MS = 300000 -- what an upstream may ask for, whatever it says
local STRAINS = 5

-- A taken request. A key that is full is tried with one place more, and not with a second one before that is proven;
-- after a refusal only once a window.
local function learn_more(name, id)
  local key = 'upstream:' .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'probe_at', 'window', 'probing')
  if known[1] ~= '1' then return end
  local proven = known[5] == id
  if known[5] and not proven then return end
  if proven then
    redis.call('HDEL', key, 'probing')
    if known[4] then redis.call('HSET', key, 'window', PROBE_MS) end
  end
  if redis.call('ZCARD', 'places:' .. name) < tonumber(known[2]) then return end
  if known[3] and tonumber(known[3]) > now then return end
  redis.call('HINCRBY', key, 'limit', 1)
  redis.call('HSET', key, 'probing', '') -- until dispatch() says which job it is
  if known[4] then redis.call('HSET', key, 'probe_at', now + tonumber(known[4])) end
end

-- The upstream's queue is full: what it held besides this one is its limit. Each further refusal doubles the window.
-- What it asks for is waited for, and a little more, so that not everybody comes back at once.
local function learn_less(name, pause, jitter)
  local key = 'upstream:' .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'window')
  if known[1] == '1' then
    local held = redis.call('ZCARD', 'places:' .. name)
    local window = math.min((tonumber(known[3]) or PROBE_MS / 2) * 2, PROBE_MS * 16)
    redis.call('HSET', key, 'limit', math.max(1, math.min(tonumber(known[2]), held)), 'window', window,
      'probe_at', now + window)
    redis.call('HDEL', key, 'probing')
  end
  pause = math.max(1000, math.min(pause, LONGEST_RETRY_AFTER_MS))
  redis.call('HSET', key, 'paused_until', now + math.floor(pause * (1 + jitter / 4)), 'reason', 'busy')
end

-- The breaker: pauses double with each failure in a row, and each pause ends in one probe.
local function trip(name, jitter, reason)
  local key = 'upstream:' .. name
  local failures = redis.call('HINCRBY', key, 'failures', 1)
  local pause = math.min(LONGEST_PAUSE_MS, 250 * 2 ^ math.min(failures, 10))
  redis.call('HSET', key, 'paused_until', now + math.floor(pause * (0.75 + jitter / 2)), 'reason', reason)
end

-- An answer that proves nothing (time-out, 5xx): one is an accident, several in a row are an outage.
local function strain(name, jitter, reason)
  if redis.call('HINCRBY', 'upstream:' .. name, 'strains', 1) >= STRAINS then trip(name, jitter, reason) end
end

-- The key works: a tripped breaker closes. The pause of a full queue stays: it says nothing about the key.
local function heal(name)
  local key = 'upstream:' .. name
  redis.call('HDEL', key, 'strains')
  if redis.call('HDEL', key, 'failures') == 1 then redis.call('HDEL', key, 'reason', 'paused_until', 'tried') end
end

-- Recent durations, newer ones counting for more: what waiting jobs are told is computed from them.
local function smooth(field, ms)
  local known = tonumber(redis.call('HGET', 'flow', field))
  redis.call('HSET', 'flow', field, math.floor(known and known + (ms - known) / 8 or ms))
end
