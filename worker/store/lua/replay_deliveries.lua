-- Replays deliveries, with the same id and the whole schedule. A delivery that is being sent, or is due sooner anyway,
-- stays as it is, so asking twice sends once.
--
-- ARGV  tenant, ms between two (0: at once), '1' to count only, only this state or '', delivery ids …
-- Reply {now, verdicts}: missing | other_state | endpoint_disabled | under_way | replayed
-- @include telling
local tenant, pace, counts_only, only = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local clock = KEY.replays .. tenant
-- a second bulk replay continues after the first, so together they are not faster than one
local slot = pace > 0 and math.max(now, tonumber(redis.call('GET', clock) or 0)) or now
local verdicts = {}

local function verdict_on(id)
  local row = redis.call('HMGET', KEY.delivery .. id, 'state', 'tenant', 'not_before', 'claimed_until', 'endpoint', 'tries')
  if not row[1] or row[2] ~= tenant then return 'missing' end
  if only ~= '' and row[1] ~= only then return 'other_state' end
  if row[5] and is_disabled(tenant, row[5]) then return 'endpoint_disabled' end
  if row[1] == 'pending' and (tonumber(row[4] or 0) > now or tonumber(row[3] or 0) <= slot) then return 'under_way' end
  if counts_only then return 'replayed' end
  redis.call('HSET', KEY.delivery .. id, 'not_before', slot, 'round', row[6] or 0)
  redis.call('ZADD', KEY.deliveries_due, slot, id)
  to_state(id, 'pending')
  slot = slot + pace
  return 'replayed'
end

for at = 5, #ARGV do verdicts[#verdicts + 1] = verdict_on(ARGV[at]) end
if pace > 0 and slot > now then redis.call('SET', clock, slot, 'PX', slot - now) end
return {now, verdicts}
