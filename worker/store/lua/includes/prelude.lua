-- For every script that writes: Celery messages out of one template, and the counters. What each key holds says
-- worker/store/keys.py; `KEY.job` is the text that begins the keys of a family there.
-- Queues are Celery's own lists; a message is pushed here only with the template that kombu made.

-- `template` is a JSON array of texts: literal, name of what goes between, literal, … Cut once, by whoever calls.
local parts
local function push(template, prefix, queue, task, id)
  parts = parts or cjson.decode(template)
  local fills = {uuid = id .. '-' .. task .. '-' .. now, task = 'darkroom.' .. task, queue = queue, id = id}
  local message = {}
  for at = 1, #parts do message[at] = at % 2 == 1 and parts[at] or fills[parts[at]] end
  redis.call('LPUSH', prefix .. queue, table.concat(message))
end

-- When the oldest message of a queue was pushed; nil where it is empty.
local function oldest(prefix, queue)
  local message = redis.call('LINDEX', prefix .. queue, -1)
  return message and tonumber(message:match('%-%a+%-(%d+)"'))
end

local function note_health(channel)
  local minute = KEY.health .. math.floor(now / 60000)
  redis.call('HINCRBY', minute, channel, 1)
  redis.call('EXPIRE', minute, 3600)
end

-- Whether a worker has that upstream key in its configuration: each says so every few seconds.
local function is_seen(seen)
  return not seen or now - tonumber(seen) < 30000
end

local function count(status, by)
  redis.call('HINCRBY', KEY.counts, status, by)
end
