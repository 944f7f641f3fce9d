-- Put before scripts that report how an upstream key behaves: its learned limit and its breaker.

local PROBE_MS = 60000        -- how long a learned limit is kept before one more place is tried
local LONGEST_PAUSE_MS = 60000
local LONGEST_RETRY_AFTER_MS = 300000 -- what an upstream may ask for, whatever it says
local STRAINS = 5
local LONGEST_ROUND = 16

-- A taken request. Additive increase: a key that stays full for a round of requests without a refusal is tried with one
-- place more, never with two that are not proven, and after a refusal only once a window.
local function learn_more(name, id)
  local key = 'upstream:' .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'probe_at', 'window', 'probing')
  if known[1] ~= '1' then return end
  local limit = tonumber(known[2])
  if known[5] == id then
    redis.call('HDEL', key, 'probing')
    if known[4] then redis.call('HSET', key, 'window', PROBE_MS) end
  elseif known[5] then
    return
  end
  if redis.call('ZCARD', 'places:' .. name) < limit or tonumber(known[3] or 0) > now then return end
  -- one that was taken proves little: others may have ended upstream meanwhile, and we not have heard of it
  if redis.call('HINCRBY', key, 'round', 1) < math.min(limit, LONGEST_ROUND) then return end
  redis.call('HSET', key, 'limit', limit + 1, 'probing', '', 'round', 0) -- dispatch() says which job it is
  if known[4] then redis.call('HSET', key, 'probe_at', now + tonumber(known[4])) end
end

-- The upstream's queue is full. A refused probe says that the limit was right; any other that it was too high, as jobs
-- that had ended upstream were still counted here. Each further refusal doubles the window.
-- What the upstream asks for is waited for, and a little more, so that not everybody comes back at once.
local function learn_less(name, probed, pause, jitter)
  local key = 'upstream:' .. name
  local known = redis.call('HMGET', key, 'learned', 'limit', 'window')
  if known[1] == '1' then
    local held = math.floor(redis.call('ZCARD', 'places:' .. name) * (probed and 1 or 0.75))
    local window = math.min((tonumber(known[3]) or PROBE_MS / 2) * 2, PROBE_MS * 16)
    redis.call('HSET', key, 'limit', math.max(1, math.min(tonumber(known[2]), held)), 'window', window,
      'probe_at', now + window, 'round', 0)
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

local FLOW_KEPT_SECONDS = 600 -- what was learned is forgotten where nothing was learned for so long

-- Recent durations, newer ones counting for more: what waiting jobs are told is computed from them.
local function smooth(field, ms)
  local known = tonumber(redis.call('HGET', 'flow', field))
  redis.call('HSET', 'flow', field, math.floor(known and known + (ms - known) / 8 or ms))
  redis.call('EXPIRE', 'flow', FLOW_KEPT_SECONDS)
end

-- The quickest job of late, from its intent to its end: a quicker one sets it, a slower one moves it a little towards
-- its own time, so that it follows an upstream that has become slow.
local function note_quickest(ms)
  local known = tonumber(redis.call('HGET', 'flow', 'quickest_ms'))
  redis.call('HSET', 'flow', 'quickest_ms', math.floor(known and known < ms and known + (ms - known) / 20 or ms))
end

-- A job was not bought because of it. It moves down: that others' jobs are slow must not keep somebody's quick ones
-- from ever being bought; after some of them one is tried, and tells.
local function doubt_quickest()
  local known = tonumber(redis.call('HGET', 'flow', 'quickest_ms'))
  if known then redis.call('HSET', 'flow', 'quickest_ms', math.floor(known * 0.95)) end
end
