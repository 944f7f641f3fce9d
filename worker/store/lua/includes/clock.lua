-- The first part of every script: one clock for all processes, in ms since 1970, and the time limits of the script.
-- After the latest time the caller has given up, so the script must not run any more.
--
-- `now` is Darkroom's own time. It is Redis' clock, unless that was set while Darkroom ran (step_clock.lua). Then `now`
-- continues as before, ahead of Redis' clock or behind it, and the difference wears off by 20 ms a second. So no
-- deadline, due time, lease or pause is early or late by more than that.
--
-- The two last arguments, the earliest and latest time, are removed; empty means no limit.
-- Reply {now, 'too_late'} or {now, 'too_early'}, and nothing is changed.
local time = redis.call('TIME')
local shown = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local now = shown
do
  local clock = redis.call('HMGET', KEY.clock, 'ahead', 'since')
  if clock[1] then
    local ahead, worn = tonumber(clock[1]), math.floor(math.max(0, shown - clock[2]) / 50)
    now = shown + (ahead > 0 and math.max(0, ahead - worn) or math.min(0, ahead + worn))
  end
  local latest, earliest = tonumber(table.remove(ARGV)), tonumber(table.remove(ARGV))
  if latest and now > latest then return {now, 'too_late'} end
  -- after a clock was set back, a late script would seem to be in time
  if earliest and now < earliest then return {now, 'too_early'} end
end
