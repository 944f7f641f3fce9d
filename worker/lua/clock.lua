-- Put before every script: one clock for all processes, in milliseconds since 1970, and the time within which the
-- script may run. Who asked has given up on what comes later: it must not happen behind their back.
--
-- ARGV  …, earliest, latest: taken off before the script's own words begin; '' and '' where any time is right
-- Reply {now, 'too_late'} or {now, 'too_early'}, and nothing is changed
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local latest, earliest = tonumber(table.remove(ARGV)), tonumber(table.remove(ARGV))
if latest and now > latest then return {now, 'too_late'} end
-- a clock that was set back would let a late script pass for one in time
if earliest and now < earliest then return {now, 'too_early'} end
