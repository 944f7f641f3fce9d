-- For scripts that claim the collection of images: one worker per job, and a limit per tenant, so that a tenant's slow
-- images never occupy all workers. A job in line costs no thread.
--
-- This is simpler than lines.lua, and not a kind of it: there is one level only, a freed place is not kept for the job
-- that is woken (whoever asks first gets it), and nobody looks after a line, because each job in it is due by itself.
--
-- Of job:<id>: collector → the token of who collects it, lined_up → since when it stands in line.
-- @include prelude
local function lane_of(tenant)
  return KEY.collecting .. tenant, KEY.line .. 'collecting:' .. tenant
end

-- How many collections of a tenant may run at once: a few at first, one more after each that was not too slow, and half
-- after one that was (AIMD). So images that trickle never fill the workers, however many jobs have them.
local FIRST, LEAST, WINDOW_MS = 16, 2, 3600000

local function window_of(tenant, most)
  return math.min(most, tonumber(redis.call('GET', KEY.window .. tenant) or FIRST))
end

local function move_window(tenant, most, too_slow)
  local window = window_of(tenant, most)
  window = too_slow and math.max(LEAST, math.floor(window / 2)) or math.min(most, window + 1)
  redis.call('SET', KEY.window .. tenant, window, 'PX', WINDOW_MS)
end

local function has_room(places, most)
  redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
  return redis.call('ZCARD', places) < most
end

-- Takes the job that has waited longest out of the line; nil if there is none.
local function first_in(line)
  for _ = 1, 100 do
    local id = redis.call('ZPOPMIN', line)[1]
    if not id or redis.call('HEXISTS', KEY.job .. id, 'lined_up') == 1 then return id end
  end
end

-- Wakes the jobs that have waited longest, as many as there is room for; each claims its place itself.
local function wake_collections(tenant, most, template, prefix)
  local places, line = lane_of(tenant)
  most = window_of(tenant, most)
  if not has_room(places, most) then return end
  for _ = 1, most - redis.call('ZCARD', places) do
    local id = first_in(line)
    if not id then return end
    redis.call('HSET', KEY.job .. id, 'pushed', now)
    redis.call('HDEL', KEY.job .. id, 'lined_up')
    push(template, prefix, 'collect', 'collect', id)
  end
end

-- At its deadline at the latest, because the deadline ends a job also while it is collected.
local function look_at(id, at, deadline)
  redis.call('ZADD', KEY.due, deadline > now and math.min(at, deadline) or at, id)
end
