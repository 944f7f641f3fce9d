-- A script was refused although it was in time by the process's own clock. If Redis' clock was set, lets `now` continue
-- from where it was. Any number of processes may call this: the second one finds `now` as it expects it.
-- `under_way`: ms that this script may have been in flight.
local step = now - believed
if step >= -doubt and step <= under_way + doubt then return reply{step = 0} end
-- another process has ticked since: time went on for all except the caller, whose machine stood still
if step > 0 and tonumber(redis.call('HGET', KEY.clock, 'seen') or 0) > believed + doubt then return reply{step = 0} end

redis.call('HSET', KEY.clock, 'ahead', believed - shown, 'since', shown, 'last_step', step, 'stepped_at', believed)
redis.call('HINCRBY', KEY.clock, 'steps', 1)
-- this key expires by Redis' own clock: a clock that was set back would keep it too long
redis.call('DEL', KEY.fair_line)
local away = redis.call('PTTL', KEY.store_away)
if away > 0 and step < 0 then redis.call('PEXPIRE', KEY.store_away, math.max(1000, away + step)) end
now = believed
return reply{step = step}
