-- Somebody's script was refused although it came in time by their own clock: where Redis' clock was set, lets `now` go
-- on from where it was. Any number of processes may say so: who comes second finds that `now` is as they believe.
-- `under_way`: ms that this script may have been on its way.
local step = now - believed
if step >= -doubt and step <= under_way + doubt then return reply{step = 0} end
-- somebody has ticked since: time has gone on for all but the asker, whose machine stood still
if step > 0 and tonumber(redis.call('HGET', KEY.clock, 'seen') or 0) > believed + doubt then return reply{step = 0} end

redis.call('HSET', KEY.clock, 'ahead', believed - shown, 'since', shown, 'last_step', step, 'stepped_at', believed)
redis.call('HINCRBY', KEY.clock, 'steps', 1)
-- what lives by Redis' own clock: a clock set back would keep it for as long
redis.call('DEL', KEY.fair_line)
local away = redis.call('PTTL', KEY.store_away)
if away > 0 and step < 0 then redis.call('PEXPIRE', KEY.store_away, math.max(1000, away + step)) end
now = believed
return reply{step = step}
