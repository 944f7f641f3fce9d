-- In every script, before all else: one clock for all processes, in ms since 1970, and the time within which the script
-- may run. Who asked has given up on what comes later: it must not happen behind their back.
--
-- `now` is Darkroom's own time. It is Redis' clock, but where that was set while we ran (step_clock.lua): then `now`
-- goes on as before, ahead of it or behind, and the difference wears off by 20 ms a second. So nothing that is kept
-- with a time, no deadline, due time, lease or pause, is early or late by more than that.
--
-- The two last arguments, the earliest and latest time, are taken off; they are empty where any time is right.
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
  -- a clock that was set back would let a late script pass for one in time
  if earliest and now < earliest then return {now, 'too_early'} end
end
