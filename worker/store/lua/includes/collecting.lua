-- For scripts that claim the collection of images: one worker per job, and a limit per tenant, so that a tenant's slow
-- images never occupy all workers.
--
-- collecting:<tenant>       ZSET  job id → ms at which its worker counts as dead
-- line:collecting:<tenant>  ZSET  job id → since when its images could be collected; waits for a place, holds no thread
-- of job:<id>               collector → the token of who collects it, lined_up → since when it stands in line
-- @include prelude
-- @include lanes
local function lane_of(tenant)
  return KEY.collecting .. tenant, KEY.line .. 'collecting:' .. tenant
end

-- Wakes the jobs that have waited longest, as many as there is room for; each claims its place itself.
local function wake_collections(tenant, most, template, prefix)
  local places, line = lane_of(tenant)
  if not has_room(places, most) then return end
  for _ = 1, most - redis.call('ZCARD', places) do
    local id = first_in(line, function(each) return redis.call('HEXISTS', KEY.job .. each, 'lined_up') == 1 end)
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
