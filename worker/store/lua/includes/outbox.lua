-- The outbox: messages on their way into one of Celery's lists. Such a list is first in, first out, so a thousand
-- messages of one tenant at one moment (deadlines, callbacks, a receiver that is back) would delay the one of another.
-- So a list is kept short. What comes while it is long waits here, by tenant; empty_outbox.lua sends it in turn.
--
-- outboxes:<queue>          ZSET  tenant → ms at which it was last served
-- outbox:<queue>:<tenant>   ZSET  '<task> <id>' → since when it waits
-- @include prelude
local MOST_IN_LIST = 16

local function push_in_turn(template, prefix, queue, task, id, tenant)
  if redis.call('LLEN', prefix .. queue) < MOST_IN_LIST and redis.call('EXISTS', KEY.outboxes .. queue) == 0 then
    return push(template, prefix, queue, task, id)
  end
  redis.call('ZADD', KEY.outbox .. queue .. ':' .. tenant, 'NX', now, task .. ' ' .. id)
  redis.call('ZADD', KEY.outboxes .. queue, 'NX', now, tenant)
end

local function is_in_outbox(queue, task, id, tenant)
  return redis.call('ZSCORE', KEY.outbox .. queue .. ':' .. tenant, task .. ' ' .. id)
end
