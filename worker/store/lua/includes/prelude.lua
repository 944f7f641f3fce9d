-- For every script that writes: Celery messages from a template, and counters. worker/store/keys.py says what each key
-- holds; `KEY.job` is the beginning of the keys of a family there. Queues are Celery's own lists.

-- `template` is a JSON array of texts: literal, name of a gap, literal, … (worker/store/messages.py).
local parts
local function push(template, prefix, queue, task, id)
  parts = parts or cjson.decode(template)
  local fills = {uuid = id .. '-' .. task .. '-' .. now, task = 'darkroom.' .. task, queue = queue, id = id}
  local message = {}
  for at = 1, #parts do message[at] = at % 2 == 1 and parts[at] or fills[parts[at]] end
  redis.call('LPUSH', prefix .. queue, table.concat(message))
end

-- When the oldest message of a queue was pushed (ms since 1970); nil: the queue is empty.
local function oldest(prefix, queue)
  local message = redis.call('LINDEX', prefix .. queue, -1)
  return message and tonumber(message:match('%-%a+%-(%d+)"'))
end

local function note_health(channel)
  local minute = KEY.health .. math.floor(now / 60000)
  redis.call('HINCRBY', minute, channel, 1)
  redis.call('EXPIRE', minute, 3600)
end

-- Whether a worker has that account in its configuration: each worker reports it every few seconds.
local function is_seen(seen)
  return not seen or now - tonumber(seen) < 30000
end

local function count(status, by)
  redis.call('HINCRBY', KEY.counts, status, by)
end
