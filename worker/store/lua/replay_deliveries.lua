-- Replays deliveries, with the same id and the whole schedule. A delivery that is being sent, or is due sooner
-- anyway, stays as it is, so asking twice sends once. Arguments: worker/telling/scripts.py.
-- @include telling
local clock = KEY.replays .. tenant
-- a second bulk replay continues after the first, so together they are not faster than one
local slot = pace_ms > 0 and math.max(now, tonumber(redis.call('GET', clock) or 0)) or now
local verdicts = {}

local function verdict_on(id)
  local key = KEY.delivery .. id
  local state, owner, endpoint = unpack(redis.call('HMGET', key, 'state', 'tenant', 'endpoint'))
  if not state or owner ~= tenant then return 'missing' end
  if only and state ~= only then return 'other_state' end
  if endpoint and is_disabled(tenant, endpoint) then return 'endpoint_disabled' end
  local not_before, claimed_until, tries = unpack(redis.call('HMGET', key, 'not_before', 'claimed_until', 'tries'))
  local is_sooner = tonumber(claimed_until or 0) > now or tonumber(not_before or 0) <= slot
  if state == 'pending' and is_sooner then return 'under_way' end
  if counts_only then return 'replayed' end
  redis.call('HSET', key, 'not_before', slot, 'round', tries or 0)
  redis.call('ZADD', KEY.deliveries_due, slot, id)
  to_state(id, 'pending')
  slot = slot + pace_ms
  return 'replayed'
end

for at, id in ipairs(delivery_ids) do verdicts[at] = verdict_on(id) end
if pace_ms > 0 and slot > now then redis.call('SET', clock, slot, 'PX', slot - now) end
return reply{verdicts = verdicts}
