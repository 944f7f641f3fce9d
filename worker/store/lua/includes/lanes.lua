-- For scripts that limit how many of something run at the same time, over all processes: places that are freed when
-- their holder dies, and a line in which waiting costs no thread.

local function has_room(places, most)
  redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
  return redis.call('ZCARD', places) < most
end

-- Takes the first id out of the line for which `waits` is true; nil if there is none.
local function first_in(line, waits)
  for _ = 1, 100 do
    local id = redis.call('ZPOPMIN', line)[1]
    if not id or waits(id) then return id end
  end
end
