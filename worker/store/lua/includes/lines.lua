-- For scripts that give out limited places (slots). Work that finds no free place waits in a line. A line needs a place
-- in every lane that it belongs to (one endpoint, one tenant, one host …), and each lane has its own limit. Lanes are
-- nested: a lane with a free place serves the lanes and lines below it in turn, so that a thousand items of one owner
-- never delay the one of another. Work in line holds no thread.
--
-- <kind>:<lane>         ZSET  id → ms at which its place is freed by its lease
-- line:<kind>:<line>    ZSET  id → since when it waits
-- turns:<kind>:<lane>   ZSET  lane or line below it → its turn; only those in which something waits
-- lines:<kind>          ZSET  line → ms at which it is checked, in case a worker died with a place
--
-- A kind is {name, longest = ms that a place is held at most, granted = ms that a given place is reserved for its new
-- holder, line(name) → a line, waits(id) → whether it still wants a place, wake(id)}. A line is {name,
-- lanes = {{name, most, is_open}, …} with its own lane first, paths = {{outermost lane, …, line}, …}}. A lane that is
-- open limits nothing now; places that it counted before are freed with the others.
local LOOKED_AT = 20 -- lanes and lines looked at below a lane; limits how long a script blocks Redis
local GRANTED_AT_ONCE = 4
local LOOK_MS = 2000

local function line_key(kind, name)
  return KEY.line .. kind.name .. ':' .. name
end

local function turns_key(kind, lane)
  return KEY.turns .. kind.name .. ':' .. lane
end

local function has_room(kind, line)
  for _, lane in ipairs(line.lanes) do
    local key = kind.name .. ':' .. lane.name
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if not lane.is_open and redis.call('ZCARD', key) >= lane.most then return false end
  end
  return true
end

local function hold(kind, line, id, ms)
  for _, lane in ipairs(line.lanes) do
    if not lane.is_open then
      redis.call('ZADD', kind.name .. ':' .. lane.name, now + ms, id)
      redis.call('PEXPIRE', kind.name .. ':' .. lane.name, kind.longest)
    end
  end
end

local function holds(kind, line, id)
  return tonumber(redis.call('ZSCORE', kind.name .. ':' .. line.lanes[1].name, id) or 0) > now
end

local function to_the_end(turns, below)
  local last = redis.call('ZREVRANGE', turns, 0, 0, 'WITHSCORES')
  if last[1] ~= below then redis.call('ZADD', turns, tonumber(last[2] or 0) + 1, below) end
end

local function stand_in_line(kind, line, id, since)
  redis.call('ZADD', line_key(kind, line.name), since, id)
  redis.call('ZADD', KEY.lines .. kind.name, 'NX', now + LOOK_MS, line.name)
  for _, path in ipairs(line.paths) do
    for at = 1, #path - 1 do
      local turns = turns_key(kind, path[at])
      if not redis.call('ZSCORE', turns, path[at + 1]) then to_the_end(turns, path[at + 1]) end
    end
  end
end

-- Gives a place to the first of a line, if one is free.
local function grant(kind, name)
  local line = kind.line(name)
  if not has_room(kind, line) then return false end
  for _ = 1, 100 do
    local id = redis.call('ZPOPMIN', line_key(kind, name))[1]
    if not id then return false end
    if kind.waits(id) then
      hold(kind, line, id, kind.granted)
      kind.wake(id)
      return true
    end
  end
  return false
end

-- Gives one place to the next line below a lane. A line that was looked at goes to the end: one that its own limits
-- hold back must not block those behind it, and is served later by the lane that holds it back.
local function serve(kind, lane)
  local turns = turns_key(kind, lane)
  for _, below in ipairs(redis.call('ZRANGE', turns, 0, LOOKED_AT - 1)) do
    local is_line = redis.call('EXISTS', line_key(kind, below)) == 1
    if is_line or redis.call('EXISTS', turns_key(kind, below)) == 1 then
      to_the_end(turns, below)
      if is_line and grant(kind, below) or not is_line and serve(kind, below) then return true end
    else
      redis.call('ZREM', turns, below) -- nothing waits there any more
    end
  end
  return false
end

-- Frees a place, and gives it to the next in each lane that it belonged to.
local function give_back(kind, line, id)
  for _, lane in ipairs(line.lanes) do redis.call('ZREM', kind.name .. ':' .. lane.name, id) end
  for _, path in ipairs(line.paths) do
    for _ = 1, GRANTED_AT_ONCE do
      if not serve(kind, path[1]) then break end
    end
  end
end

-- Each line is also checked by the clock, because a worker that died with a place wakes nobody.
local function look_at_lines(kind, most)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEY.lines .. kind.name, '-inf', now, 'LIMIT', 0, most)) do
    for _ = 1, GRANTED_AT_ONCE do
      if not grant(kind, name) then break end
    end
    if redis.call('EXISTS', line_key(kind, name)) == 1 then
      redis.call('ZADD', KEY.lines .. kind.name, now + LOOK_MS, name)
    else
      redis.call('ZREM', KEY.lines .. kind.name, name)
      for _, path in ipairs(kind.line(name).paths) do
        for at = #path - 1, 1, -1 do
          if redis.call('EXISTS', turns_key(kind, path[at + 1])) == 1 then break end
          redis.call('ZREM', turns_key(kind, path[at]), path[at + 1])
        end
      end
    end
  end
end
