-- Put before scripts that bound how many of something are under way at once, over all processes: places that are given
-- back by themselves when their holder dies, and a line before them in which waiting costs no thread.

local function has_room(places, most)
  redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
  return redis.call('ZCARD', places) < most
end

-- Takes the first out of the line that still waits, as `waits` says of an id; nil where there is none.
local function first_in(line, waits)
  for _ = 1, 100 do
    local id = redis.call('ZPOPMIN', line)[1]
    if not id or waits(id) then return id end
  end
end
