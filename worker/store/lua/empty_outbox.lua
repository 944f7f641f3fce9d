-- Sends messages from the outbox while Celery's list is short, tenants in turn. Each process that works on the list
-- runs it. If none does, the messages wait like those in the list.
-- Arguments and reply: worker/store/queue.py.
-- @include outbox

-- When it was pushed is noted with the job or delivery, so that a message that gets lost from now on is missed.
local function send(message)
  local task, id = message:match('^(%S+) (.*)$')
  local key = task == 'tell' and KEY.delivery .. id or KEY.job .. id
  if redis.call('HEXISTS', key, task == 'tell' and 'job' or 'doc') == 0 then return end -- removed meanwhile
  redis.call('HSET', key, 'pushed', now)
  push(template, prefix, queue, task, id)
end

local function serve(tenant, most)
  local waiting = KEY.outbox .. queue .. ':' .. tenant
  local page = redis.call('ZPOPMIN', waiting, most)
  for at = 1, #page, 2 do send(page[at]) end
  if redis.call('EXISTS', waiting) == 1 then
    redis.call('ZADD', KEY.outboxes .. queue, now, tenant)
  else
    redis.call('ZREM', KEY.outboxes .. queue, tenant)
  end
end

if redis.call('EXISTS', KEY.outboxes .. queue) == 0 then return reply{waits = false} end
local room = MOST_IN_LIST - redis.call('LLEN', prefix .. queue)
local tenants = room > 0 and redis.call('ZRANGE', KEY.outboxes .. queue, 0, room - 1) or {}
for _, tenant in ipairs(tenants) do serve(tenant, math.ceil(room / #tenants)) end
return reply{waits = redis.call('EXISTS', KEY.outboxes .. queue) == 1}
